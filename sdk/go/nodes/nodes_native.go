//go:build !wasip1

package nodes

import "howdah"

// Stand is the host's stand-in in native tests: the nodes that a policy sees.
var Stand []howdah.Node

// All are the nodes of all clusters.
func All() []howdah.Node { return Stand }
