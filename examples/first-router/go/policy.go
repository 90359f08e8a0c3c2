// Reads go to replicas, everything else to the primary.
package main

import (
	"howdah"
	"howdah/hook/route"
)

func init() { route.Handle(decide) }

func decide(s *howdah.Statement) howdah.Verdict {
	if s.Kind == howdah.Read {
		return howdah.Replica().ByDigest()
	}
	return howdah.Primary().ByDigest()
}

func main() {}
