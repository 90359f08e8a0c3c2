// Package howdah is for writing howdah policies in Go.
//
// A policy imports the packages of the hooks that it has and gives each a function:
//
//	func init() {
//		route.Handle(func(s *howdah.Statement) howdah.Verdict {
//			if s.Kind == howdah.Read {
//				return howdah.Replica().ByDigest()
//			}
//			return howdah.Primary().ByDigest()
//		})
//	}
//
//	func main() {}
//
// howdah policy build makes the component. Each worker thread of the proxy has an instance of its own and asks it one
// question at a time, so variables need no locks. Elsewhere than in WebAssembly the functions of the host talk to
// Stand.
package howdah

import "fmt"

// Kind is what a statement is: the most demanding of a batch.
type Kind uint8

const (
	Empty Kind = iota
	Read
	Write
	DDL
	Begin
	End
	Session
	Utility
	Unknown
)

// Facts are what else is known of a statement.
type Facts uint16

const (
	InTransaction Facts = 1 << iota
	ReadOnly
	LocksRows
	Volatile
	Several
	Extended
	Copy
	Sticky
	HintPrimary
	HintReplica
	Unbounded
)

// Has tells whether any of these is a fact.
func (f Facts) Has(any Facts) bool { return f&any != 0 }

// Statement is a statement, or a batch of them.
type Statement struct {
	SQL  string
	Kind Kind
	// Digest is the same for texts that differ only in literals, white space and comments.
	Digest uint64
	Facts  Facts
	// Class is what the session hook said, else 0.
	Class uint32
}

// Remember is how long an answer may be remembered.
type Remember uint8

const (
	Never Remember = iota
	ByText
	ByTextAndClass
	// ByDigest is right when nothing but kind, facts and digest was looked at.
	ByDigest
	ByDigestAndClass
)

// Refusal is an error for the client.
type Refusal struct{ SQLState, Message string }

// Settings are the policy's settings: bool, int64, float64, string or []string, nested ones under dotted names.
type Settings map[string]any

// Only is an error when there are others than these.
func (s Settings) Only(known ...string) error {
	for name := range s {
		found := false
		for _, one := range known {
			found = found || name == one
		}
		if !found {
			return fmt.Errorf("unknown setting %s; the settings are %v", name, known)
		}
	}
	return nil
}

// Texts is a list of texts, empty when it is not set.
func (s Settings) Texts(name string) ([]string, error) {
	switch value := s[name].(type) {
	case nil:
		return nil, nil
	case []string:
		return value, nil
	default:
		return nil, fmt.Errorf("%s must be a list of texts", name)
	}
}

// Client is who opens a session.
type Client struct {
	ID                                       uint64
	User, Database, ApplicationName, Address string
	Parameters                               [][2]string
}

// PoolMode is how a session is pooled.
type PoolMode uint8

const (
	PoolSession PoolMode = iota
	PoolTransaction
)

// Admission is how a client is let in: what is not given stays as it is.
type Admission struct {
	User, Database, Cluster *string
	PoolMode                *PoolMode
	Settings                [][2]string
	// Priority tells who goes first of those that wait for a server.
	Priority  int8
	MaxWaitMS *uint32
	Class     uint32
	// Refuse turns the client away.
	Refuse *Refusal
}

// Role is what a node is.
type Role uint8

const (
	RoleUnknown Role = iota
	RolePrimary
	RoleReplica
)

// Node is one node of a cluster, as last seen.
type Node struct {
	Name, Cluster   string
	Role            Role
	Up              bool
	LagBytes, LagMS *uint64
	Labels          [][2]string
}
