// Package session gives a policy the hook of this name.
package session

import "howdah"

// Handle has function asked: once per client, after it has authenticated. Nil is no opinion.
func Handle(function func(*howdah.Client) *howdah.Admission) { handle = function }

var handle func(*howdah.Client) *howdah.Admission

// HandleClosed has function told when a client has gone.
func HandleClosed(function func(id uint64)) { closed = function }

var closed func(uint64)
