// Package tick gives a policy the hook of this name.
package tick

// Handle has function asked: when time has passed. It tells in how many milliseconds to be told again; 0 for never.
func Handle(function func() uint32) { handle = function }

var handle func() uint32
