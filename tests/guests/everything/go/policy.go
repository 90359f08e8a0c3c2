// Has every hook, and uses all that the host offers: SELECT 'nodes' is answered with what the interface nodes says.
package main

import (
	"errors"
	"fmt"
	"strings"

	"howdah"
	"howdah/catalog"
	"howdah/hook/configure"
	"howdah/hook/observe"
	"howdah/hook/retry"
	"howdah/hook/rewrite"
	"howdah/hook/route"
	"howdah/hook/session"
	"howdah/hook/state"
	"howdah/hook/tick"
	"howdah/hook/topology"
	"howdah/kv"
	"howdah/nodes"
)

// What the hooks were told.
var (
	seen, gone, kept string
	observed         int
	rows             uint64
	ticks            int
)

func init() {
	configure.Handle(func(settings howdah.Settings) error { return settings.Only("greeting") })
	session.Handle(func(client *howdah.Client) *howdah.Admission {
		if client.User != "alice" || client.Address != "::1" {
			return &howdah.Admission{Refuse: &howdah.Refusal{SQLState: "28000", Message: "who?"}}
		}
		application := "everything"
		settings := [][2]string{{"application_name", application}}
		return &howdah.Admission{Class: 7, Priority: 3, Settings: settings}
	})
	session.HandleClosed(func(id uint64) { gone = fmt.Sprint(id) })
	rewrite.Handle(func(s *howdah.Statement) howdah.Rewritten {
		if s.SQL == "SELECT 'rewrite'" {
			return howdah.Changed("SELECT 'rewritten'", howdah.ByText)
		}
		return howdah.Unchanged(howdah.ByDigest)
	})
	topology.Handle(func(_ uint64, nodes []howdah.Node) { seen = names(nodes) })
	retry.Handle(func(f *retry.Failure, s *howdah.Statement) retry.Decision {
		known := f.SQLState != nil && *f.SQLState == "57P01" && f.Node == "a" && f.Role == howdah.RoleReplica
		if known && f.Safety == retry.Read && f.Attempt == 1 && s.SQL == "SELECT 1" && s.Kind == howdah.Read {
			return retry.Again(retry.Another, 5)
		}
		return retry.GiveUp()
	})
	observe.Handle(func(batch []observe.Observation) {
		for _, one := range batch {
			if *one.Node == "a" && one.SQLState == nil && one.Digest == 7 && one.Source == observe.Policy {
				observed++
				rows += one.Rows
			}
		}
	})
	tick.Handle(func() uint32 { ticks++; return 10 })
	state.Handle(func() []byte { return []byte(kept + "x") }, func(state []byte) error {
		if len(state) > 2 {
			return errors.New("enough")
		}
		kept = string(state)
		return nil
	})
	route.Handle(func(*howdah.Statement) howdah.Verdict {
		text := told()
		table := howdah.Table{Columns: []string{"value"}, Rows: [][]*string{{&text}}}
		return howdah.Answer(table).AlwaysAsk()
	})
}

func names(nodes []howdah.Node) string {
	var names []string
	for _, node := range nodes {
		names = append(names, fmt.Sprint(node.Cluster, "/", node.Name, "/", node.Up))
	}
	return strings.Join(names, " ")
}

func told() string {
	topic, _ := howdah.Literal(0)
	switch topic {
	case "setting":
		return howdah.Setting("greeting").(string)
	case "tag":
		tag, _ := howdah.Tag("app")
		return tag
	case "who":
		return howdah.User() + "/" + howdah.Database() + "/" + howdah.ApplicationName()
	case "relations":
		return strings.Join(howdah.Relations(), " ")
	case "parameter":
		value, _ := howdah.Parameter(1)
		return value.(string)
	case "log":
		howdah.Log(howdah.Info, "told")
		return "true"
	case "metrics":
		howdah.Count("counted", 1)
		howdah.Gauge("gauge", 0.5)
		howdah.Observe("observed", 7)
		return "true"
	case "clock":
		first := howdah.MonotonicNS()
		return fmt.Sprint(first <= howdah.MonotonicNS() && howdah.WallMS() > 0)
	case "random":
		return fmt.Sprint(howdah.Random() != howdah.Random())
	case "nodes":
		return names(nodes.All())
	case "catalog":
		anywhere, there := catalog.Function("", "f"), catalog.Function("s", "f")
		return fmt.Sprint(anywhere == catalog.Immutable && there == catalog.Immutable)
	case "kv":
		return fmt.Sprint(shared())
	case "hooks":
		return fmt.Sprint(seen, " ", gone, " ", observed, " ", rows, " ", ticks > 0)
	case "state":
		return kept
	default:
		return "?"
	}
}

// shared tells whether shared values do as they should.
func shared() bool {
	first, _ := kv.Increment("n", 1, 0)
	second, _ := kv.Increment("n", 2, 1_000_000_000)
	err := kv.Set("k", []byte("v"), 0)
	none, _ := kv.CompareAndSwap("k", nil, []byte("w"), 0)
	swapped, _ := kv.CompareAndSwap("k", []byte("v"), []byte("w"), 0)
	value, found := kv.Get("k")
	_, notANumber := kv.Increment("k", 1, 0)
	kv.Delete("k")
	_, left := kv.Get("k")
	tooLarge := kv.Set("", nil, 0)
	right := first == 1 && second == 3 && err == nil && !none && swapped && found && string(value) == "w"
	return right && errors.Is(notANumber, kv.ErrNotANumber) && !left && errors.Is(tooLarge, kv.ErrTooLarge)
}

func main() {}
