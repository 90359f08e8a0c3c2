package howdah

// Otherwise is what to do when no replica fulfils the demands.
type Otherwise uint8

const (
	ElsePrimary Otherwise = iota
	ElseWait
	ElseRefuse
)

// Demands are what a replica must fulfil.
type Demands struct {
	MaxLagMS, MaxLagBytes *uint64
	// Label is a key and its value, if given.
	Label     *[2]string
	Otherwise Otherwise
}

// Table is a result that the host sends without asking any server; nil is NULL.
type Table struct {
	Columns []string
	Rows    [][]*string
}

// To is where a decision sends a statement.
type To uint8

const (
	ToNoOpinion To = iota
	ToPrimary
	ToReplica
	ToNode
	ToCluster
	ToRefuse
	ToAnswer
	ToPin
)

// Decision is where a statement goes. The functions below make them.
type Decision struct {
	To      To
	Demands Demands
	// Name is a node, a cluster, or the reason of a pin.
	Name    string
	Refusal Refusal
	Table   Table
}

// Verdict is a decision, and how long it may be remembered.
type Verdict struct {
	Decision Decision
	Remember Remember
}

// NoOpinion leaves it to the next policy.
func NoOpinion() Decision { return Decision{} }

// Primary is the primary.
func Primary() Decision { return Decision{To: ToPrimary} }

// Replica is any replica that is up, else the primary.
func Replica() Decision { return Decision{To: ToReplica} }

// ReplicaWith is a replica that fulfils the demands.
func ReplicaWith(demands Demands) Decision { return Decision{To: ToReplica, Demands: demands} }

// NodeNamed is one node.
func NodeNamed(name string) Decision { return Decision{To: ToNode, Name: name} }

// ClusterNamed is the primary of another cluster.
func ClusterNamed(name string) Decision { return Decision{To: ToCluster, Name: name} }

// Refuse is an error for the client.
func Refuse(sqlstate, message string) Decision {
	return Decision{To: ToRefuse, Refusal: Refusal{sqlstate, message}}
}

// Answer is a result without a server.
func Answer(table Table) Decision { return Decision{To: ToAnswer, Table: table} }

// Pin keeps the session on the primary's connection.
func Pin(reason string) Decision { return Decision{To: ToPin, Name: reason} }

// Remembered is this decision, remembered as said.
func (d Decision) Remembered(remember Remember) Verdict { return Verdict{d, remember} }

// AlwaysAsk is this decision, to be asked for again each time.
func (d Decision) AlwaysAsk() Verdict { return Verdict{d, Never} }

// ByText is this decision, for this exact text.
func (d Decision) ByText() Verdict { return Verdict{d, ByText} }

// ByDigest is this decision, for every text that differs only in literals, comments and white space.
func (d Decision) ByDigest() Verdict { return Verdict{d, ByDigest} }

// ByDigestAndClass is the same for the same session class.
func (d Decision) ByDigestAndClass() Verdict { return Verdict{d, ByDigestAndClass} }

// Rewritten is what becomes of a text: the new one, or a refusal, or neither.
type Rewritten struct {
	SQL      *string
	Refusal  *Refusal
	Remember Remember
}

// Unchanged leaves the text as it is.
func Unchanged(remember Remember) Rewritten { return Rewritten{Remember: remember} }

// Changed is a new text.
func Changed(sql string, remember Remember) Rewritten {
	return Rewritten{SQL: &sql, Remember: remember}
}

// RefuseText is an error for the client.
func RefuseText(sqlstate, message string, remember Remember) Rewritten {
	return Rewritten{Refusal: &Refusal{sqlstate, message}, Remember: remember}
}
