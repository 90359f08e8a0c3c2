// Package lift makes the SDK's words of what the host hands over.
package lift

import (
	"howdah"
	"howdah/internal/abi"
)

// Statement is what a question is about. Its answer begins.
func Statement(sql, sqlLen, kind uint32, digest uint64, facts, class uint32) *howdah.Statement {
	statement := &howdah.Statement{
		SQL:    abi.Text{Ptr: sql, Len: sqlLen}.String(),
		Kind:   howdah.Kind(kind),
		Digest: digest,
		Facts:  howdah.Facts(facts),
		Class:  class,
	}
	abi.Asked()
	return statement
}

type node struct {
	Name, Cluster   abi.Text
	Role            uint8
	Up              bool
	LagBytes, LagMS abi.OptionU64
	Labels          abi.List
}

// Nodes are the nodes of a list.
func Nodes(list abi.List) []howdah.Node {
	nodes := make([]howdah.Node, list.Len)
	for i, one := range abi.Items[node](list) {
		nodes[i] = howdah.Node{
			Name:     one.Name.String(),
			Cluster:  one.Cluster.String(),
			Role:     howdah.Role(one.Role),
			Up:       one.Up,
			LagBytes: one.LagBytes.Pointer(),
			LagMS:    one.LagMS.Pointer(),
			Labels:   abi.Pairs(one.Labels),
		}
	}
	abi.Read()
	return nodes
}
