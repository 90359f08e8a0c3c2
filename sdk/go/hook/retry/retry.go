// Package retry gives a policy the hook of this name.
package retry

import "howdah"

// Safety is what may have happened to a statement.
type Safety uint8

const (
	// Unsent: nothing of it has reached a server.
	Unsent Safety = iota
	// Refused before it had an effect.
	Refused
	// OnStandby it cannot have written, and nothing of its result was delivered.
	OnStandby
	// Read: it only reads, and nothing of its result was delivered.
	Read
	// InTransaction: it is part of a transaction that is lost as a whole.
	InTransaction
	// Commit was on its way: see Outcome.
	Commit
	// Unknown: it may have had an effect, or part of its result was delivered.
	Unknown
)

// Outcome is what is proven of a commit.
type Outcome uint8

const (
	Unproven Outcome = iota
	Committed
	NotCommitted
)

// Failure is how a statement failed.
type Failure struct {
	// SQLState is nil when the server went away.
	SQLState *string
	Node     string
	Role     howdah.Role
	Safety   Safety
	Outcome  Outcome
	// Replayable: the transaction was recorded whole, and holds nothing that forbids to run it again.
	Replayable bool
	// Attempt counts from 1.
	Attempt uint32
	// ElapsedMS counts from when it was first sent.
	ElapsedMS uint64
}

// Target is where a statement is sent again.
type Target uint8

const (
	// Same node as the one that it failed on.
	Same Target = iota
	// Another node that the routing decision allows.
	Another
	Primary
)

// Decision is what becomes of the statement. The functions below make them.
type Decision struct {
	kind    uint8
	target  Target
	delayMS uint32
}

const (
	noOpinion = iota
	giveUp
	again
	replay
)

// NoOpinion leaves it to the next policy.
func NoOpinion() Decision { return Decision{} }

// GiveUp lets the client have the error.
func GiveUp() Decision { return Decision{kind: giveUp} }

// Again sends the statement once more, after so many milliseconds.
func Again(target Target, delayMS uint32) Decision { return Decision{again, target, delayMS} }

// Replay runs the whole transaction again, when the failure is Replayable.
func Replay() Decision { return Decision{kind: replay} }

// Handle has function asked: when a statement failed, or its server went away, and something could be done.
func Handle(function func(*Failure, *howdah.Statement) Decision) { handle = function }

var handle func(*Failure, *howdah.Statement) Decision
