package abi

// Node is a node of a cluster.
type Node struct {
	Name, Cluster   Text
	Role            uint8
	Up              bool
	LagBytes, LagMS OptionU64
	Labels          List
}
