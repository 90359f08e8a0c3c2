package topology

import (
	"howdah/internal/abi"
	"howdah/internal/lift"
)

//go:wasmexport howdah:policy/topology@0.1.0#changed
func changed(epoch uint64, list, count uint32) {
	handle(epoch, lift.Nodes(abi.List{Ptr: list, Len: count}))
}
