// Package rewrite gives a policy the hook of this name.
package rewrite

import "howdah"

// Handle has function asked: for each statement, before it is routed.
func Handle(function func(*howdah.Statement) howdah.Rewritten) { handle = function }

var handle func(*howdah.Statement) howdah.Rewritten
