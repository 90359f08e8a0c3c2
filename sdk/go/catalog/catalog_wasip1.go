package catalog

import (
	"runtime"
	"unsafe"
)

//go:wasmimport howdah:policy/catalog@0.1.0 function
func function(some uint32, schema unsafe.Pointer, schemaLen uint32, name unsafe.Pointer, nameLen uint32) uint32

// Function is the worst of all functions that a call by this name may mean. Without a schema: in any.
func Function(schema, name string) Volatility {
	some := uint32(min(len(schema), 1))
	volatility := function(
		some, unsafe.Pointer(unsafe.StringData(schema)), uint32(len(schema)),
		unsafe.Pointer(unsafe.StringData(name)), uint32(len(name)),
	)
	runtime.KeepAlive(schema)
	runtime.KeepAlive(name)
	return Volatility(volatility)
}
