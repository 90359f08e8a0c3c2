// Package topology gives a policy the hook of this name.
package topology

import "howdah"

// Handle has function asked: when a node's role, health or lag tier has changed.
func Handle(function func(epoch uint64, nodes []howdah.Node)) { handle = function }

var handle func(epoch uint64, nodes []howdah.Node)
