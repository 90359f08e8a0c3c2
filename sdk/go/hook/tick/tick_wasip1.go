package tick

//go:wasmexport howdah:policy/tick@0.1.0#tick
func tick() uint32 { return handle() }
