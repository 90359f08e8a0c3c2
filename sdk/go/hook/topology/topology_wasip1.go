package topology

import (
	"howdah"
	"howdah/internal/abi"
)

//go:wasmexport howdah:policy/topology@0.1.0#changed
func changed(epoch uint64, list, count uint32) {
	nodes := make([]howdah.Node, count)
	for i, node := range abi.Items[abi.Node](abi.List{Ptr: list, Len: count}) {
		nodes[i] = howdah.Node{
			Name:     node.Name.String(),
			Cluster:  node.Cluster.String(),
			Role:     howdah.Role(node.Role),
			Up:       node.Up,
			LagBytes: node.LagBytes.Pointer(),
			LagMS:    node.LagMS.Pointer(),
			Labels:   abi.Pairs(node.Labels),
		}
	}
	abi.Read()
	handle(epoch, nodes)
}
