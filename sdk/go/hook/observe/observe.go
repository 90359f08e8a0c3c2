// Package observe gives a policy the hook of this name.
package observe

import "howdah"

// Source is who decided.
type Source uint8

const (
	// Policy: one said so, now or remembered.
	Policy Source = iota
	// Nobody had an opinion.
	Nobody
	// Failure of a policy: its on_failure decided.
	Failure
	// Learned: a standby had refused the like of it before.
	Learned
	// Bound to a transaction, or to a session that stays on its server.
	Bound
)

// Observation is what became of a statement, or of a batch of them.
type Observation struct {
	// Session is the ID of its client.
	Session uint64
	Class   uint32
	// Kind is the most demanding of the batch, and Digest that of the statement that has it.
	Kind   howdah.Kind
	Digest uint64
	// Node is nil when no server was asked.
	Node   *string
	Source Source
	// LatencyUS counts from when it was complete to when its answer was; WaitedUS of these, waiting for a server.
	LatencyUS, WaitedUS uint64
	// Rows and Bytes are what the client got.
	Rows, Bytes uint64
	// SQLState is that of its first error.
	SQLState *string
}

// Handle has function told afterwards, in batches of at most 256.
func Handle(function func([]Observation)) { handle = function }

var handle func([]Observation)
