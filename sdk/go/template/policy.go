// Sends reads to replicas, and everything else to the primary.
package main

import (
	"howdah"
	"howdah/hook/route"
)

func init() { route.Handle(decide) }

// stays is what may write, or locks rows: not for a replica, even if it is called SELECT.
const stays = howdah.Volatile | howdah.LocksRows | howdah.Sticky | howdah.HintPrimary

func decide(s *howdah.Statement) howdah.Verdict {
	if s.Kind == howdah.Read && !s.Facts.Has(stays) {
		// Nothing but kind and facts was looked at: the answer holds for all statements like this one.
		return howdah.Replica().ByDigest()
	}
	return howdah.Primary().ByDigest()
}

func main() {}
