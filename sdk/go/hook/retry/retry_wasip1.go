package retry

import (
	"howdah"
	"howdah/internal/abi"
	"howdah/internal/lift"
)

// question lies in memory as a whole: it has too many parts to be handed over one by one.
type question struct {
	SQLState              abi.OptionText
	Node                  abi.Text
	Role, Safety, Outcome uint8
	Replayable            bool
	Attempt               uint32
	ElapsedMS             uint64
	SQL                   abi.Text
	Kind                  uint8
	Digest                uint64
	Facts                 uint16
	Class                 uint32
}

type decision struct {
	Kind  uint8
	Again struct {
		Target  uint8
		DelayMS uint32
	}
}

var answer decision

//go:wasmexport howdah:policy/retry@0.1.0#failed
func failed(at uint32) uint32 {
	q := abi.Items[question](abi.List{Ptr: at, Len: 1})[0]
	failure := &Failure{
		SQLState:   q.SQLState.Pointer(),
		Node:       q.Node.String(),
		Role:       howdah.Role(q.Role),
		Safety:     Safety(q.Safety),
		Outcome:    Outcome(q.Outcome),
		Replayable: q.Replayable,
		Attempt:    q.Attempt,
		ElapsedMS:  q.ElapsedMS,
	}
	statement := lift.Statement(q.SQL.Ptr, q.SQL.Len, uint32(q.Kind), q.Digest, uint32(q.Facts), q.Class)
	decided := handle(failure, statement)
	answer = decision{Kind: decided.kind}
	answer.Again.Target, answer.Again.DelayMS = uint8(decided.target), decided.delayMS
	return abi.Address(&answer)
}
