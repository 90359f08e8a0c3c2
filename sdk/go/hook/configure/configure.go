// Package configure gives a policy the hook of this name.
package configure

import "howdah"

// Handle has function asked: first, once per instance. An error keeps the previous version of the policy.
func Handle(function func(howdah.Settings) error) { handle = function }

var handle func(howdah.Settings) error
