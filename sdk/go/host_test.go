//go:build !wasip1

package howdah

import (
	"testing"
	"time"
)

func TestTheStandIsWhatAPolicySees(t *testing.T) {
	Stand.Parameters = []any{"x", []byte{1}, nil}
	Stand.Literals = []string{"7"}
	if value, seen := Parameter(1); value != "x" || !seen {
		t.Error(value, seen)
	}
	if value, seen := Parameter(3); value != nil || !seen {
		t.Error(value, seen)
	}
	for _, number := range []uint16{0, 4} {
		if _, seen := Parameter(number); seen {
			t.Error(number)
		}
	}
	if value, found := Literal(0); value != "7" || !found {
		t.Error(value, found)
	}
	if _, found := Literal(1); found {
		t.Error("there is one literal")
	}
	Stand.Random = []uint64{7}
	if first, second := Random(), Random(); first != 7 || second != 0 {
		t.Error(first, second)
	}
	Stand.Wall = 1_000 * time.Second
	Stand.Now = time.Second
	if MonotonicNS() != 1_000_000_000 || WallMS() != 1_001_000 {
		t.Error(MonotonicNS(), WallMS())
	}
}

func TestWhatAPolicyDidIsSeen(t *testing.T) {
	Log(Info, "a line")
	Count("c", 1)
	Count("c", 2)
	Gauge("g", 0.5)
	Observe("h", 9)
	if Stand.Lines[0] != "a line" || Stand.Metrics["c"] != 3 || Stand.Metrics["g"] != 0.5 || Stand.Metrics["h"] != 9 {
		t.Error(Stand.Lines, Stand.Metrics)
	}
}

func TestSettingsAreCheckedByName(t *testing.T) {
	settings := Settings{"users": []string{"a"}, "n": int64(1)}
	if settings.Only("users", "n") != nil || settings.Only("users") == nil {
		t.Error("only the named settings are known")
	}
	if users, err := settings.Texts("users"); len(users) != 1 || err != nil {
		t.Error(users, err)
	}
	if none, err := settings.Texts("others"); none != nil || err != nil {
		t.Error(none, err)
	}
	if _, err := settings.Texts("n"); err == nil {
		t.Error("a number is no list")
	}
}
