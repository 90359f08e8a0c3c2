// Reads of the users in the setting users go to replicas, everything else to the primary.
//
// The users are looked up once per client, who get class 1. So an answer can be remembered by digest and class.
package main

import (
	"slices"

	"howdah"
	"howdah/hook/configure"
	"howdah/hook/route"
	"howdah/hook/session"
)

const listed = 1

var users []string

func init() {
	configure.Handle(func(settings howdah.Settings) (err error) {
		if err = settings.Only("users"); err == nil {
			users, err = settings.Texts("users")
		}
		return err
	})
	session.Handle(func(client *howdah.Client) *howdah.Admission {
		if slices.Contains(users, client.User) {
			return &howdah.Admission{Class: listed}
		}
		return nil
	})
	route.Handle(decide)
}

func decide(s *howdah.Statement) howdah.Verdict {
	if s.Class == listed && s.Kind == howdah.Read {
		return howdah.Replica().ByDigestAndClass()
	}
	return howdah.Primary().ByDigestAndClass()
}

func main() {}
