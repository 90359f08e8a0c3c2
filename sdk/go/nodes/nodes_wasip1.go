// Package nodes shows the nodes at any time. Needs grants = ["nodes"].
package nodes

import (
	"unsafe"

	"howdah"
	"howdah/internal/abi"
	"howdah/internal/lift"
)

//go:wasmimport howdah:policy/nodes@0.1.0 all
func all(ret unsafe.Pointer)

// All are the nodes of all clusters.
func All() []howdah.Node {
	var ret abi.List
	all(unsafe.Pointer(&ret))
	return lift.Nodes(ret)
}
