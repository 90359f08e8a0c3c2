package state

import "howdah/internal/abi"

var (
	taken  abi.Text
	answer abi.Failed
)

//go:wasmexport howdah:policy/state@0.1.0#snapshot
func snapshot() uint32 {
	abi.Asked()
	taken = abi.OfBytes(handleSnapshot())
	return abi.Address(&taken)
}

//go:wasmexport howdah:policy/state@0.1.0#restore
func restore(state, size uint32) uint32 {
	bytes := abi.Text{Ptr: state, Len: size}.Bytes()
	abi.Asked()
	answer = abi.Result(handleRestore(bytes))
	return abi.Address(&answer)
}
