package main

import (
	"testing"

	"howdah"
)

func TestReadsGoToReplicas(t *testing.T) {
	if to := decide(&howdah.Statement{Kind: howdah.Read}).Decision.To; to != howdah.ToReplica {
		t.Error(to)
	}
}
