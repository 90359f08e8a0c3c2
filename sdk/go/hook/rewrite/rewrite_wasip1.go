package rewrite

import (
	"howdah/internal/abi"
	"howdah/internal/lift"
)

type verdict struct {
	Tag      uint8
	A, B     abi.Text
	Remember uint8
}

const (
	unchanged = iota
	changed
	refuse
)

var answer verdict

//go:wasmexport howdah:policy/rewrite@0.1.0#rewrite
func rewrite(sql, sqlLen, kind uint32, digest uint64, facts, class uint32) uint32 {
	rewritten := handle(lift.Statement(sql, sqlLen, kind, digest, facts, class))
	answer = verdict{Remember: uint8(rewritten.Remember)}
	switch {
	case rewritten.SQL != nil:
		answer.Tag, answer.A = changed, abi.Of(*rewritten.SQL)
	case rewritten.Refusal != nil:
		answer.Tag = refuse
		answer.A, answer.B = abi.Of(rewritten.Refusal.SQLState), abi.Of(rewritten.Refusal.Message)
	}
	return abi.Address(&answer)
}
