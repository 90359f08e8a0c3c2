// Package state gives a policy the hook of this name: state that outlives a version of the policy.
package state

// Handle has snapshot asked for what the next version should know, at most 1 MiB, and restore told what the version
// before had to say. An error means to begin without it.
func Handle(snapshot func() []byte, restore func([]byte) error) {
	handleSnapshot, handleRestore = snapshot, restore
}

var (
	handleSnapshot func() []byte
	handleRestore  func([]byte) error
)
