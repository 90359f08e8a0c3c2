package observe

import (
	"howdah"
	"howdah/internal/abi"
)

type observation struct {
	Session             uint64
	Class               uint32
	Kind                uint8
	Digest              uint64
	Node                abi.OptionText
	Source              uint8
	LatencyUS, WaitedUS uint64
	Rows, Bytes         uint64
	SQLState            abi.OptionText
}

//go:wasmexport howdah:policy/observe@0.1.0#statements
func statements(list, count uint32) {
	batch := make([]Observation, count)
	for i, one := range abi.Items[observation](abi.List{Ptr: list, Len: count}) {
		batch[i] = Observation{
			Session:   one.Session,
			Class:     one.Class,
			Kind:      howdah.Kind(one.Kind),
			Digest:    one.Digest,
			Node:      one.Node.Pointer(),
			Source:    Source(one.Source),
			LatencyUS: one.LatencyUS,
			WaitedUS:  one.WaitedUS,
			Rows:      one.Rows,
			Bytes:     one.Bytes,
			SQLState:  one.SQLState.Pointer(),
		}
	}
	abi.Read()
	handle(batch)
}
