// Package route gives a policy the hook of this name.
package route

import "howdah"

// Handle has function asked: once per statement batch outside of a transaction.
func Handle(function func(*howdah.Statement) howdah.Verdict) { handle = function }

var handle func(*howdah.Statement) howdah.Verdict
