//go:build !wasip1

package howdah

import "time"

// Stand is the host's stand-in in native tests: what a policy would see, and what it did. The packages kv, nodes and
// catalog have one each.
var Stand struct {
	Tags                            map[string]string
	Settings                        Settings
	User, Database, ApplicationName string
	// Parameters are strings, []byte or nil: $1 first.
	Parameters []any
	Literals   []string
	Relations  []string
	Lines      []string
	Metrics    map[string]float64
	// Now is what the monotonic clock says: it goes on only when a test sets it. Wall is what the other clock said
	// when it began.
	Now, Wall time.Duration
	// Random are the numbers to come; then zeros.
	Random []uint64
}

// Log writes one line to the proxy's log.
func Log(_ Level, line string) { Stand.Lines = append(Stand.Lines, line) }

// Setting is a setting, or nil.
func Setting(name string) any { return Stand.Settings[name] }

// Tag is a key of the statement's comment in sqlcommenter form.
func Tag(key string) (string, bool) {
	value, found := Stand.Tags[key]
	return value, found
}

// User is who the client authenticated as.
func User() string { return Stand.User }

// Database is what the client asked for.
func Database() string { return Stand.Database }

// ApplicationName is as the client last set it.
func ApplicationName() string { return Stand.ApplicationName }

// Parameter is the value bound to $number: a string in text format, []byte in binary, nil for NULL. False: there is
// none to be seen.
func Parameter(number uint16) (any, bool) {
	if number == 0 {
		return nil, false
	}
	return item(Stand.Parameters, int(number)-1)
}

// Literal is the constant at this place of the text, counted from 0.
func Literal(index uint32) (string, bool) { return item(Stand.Literals, int(index)) }

func item[T any](items []T, index int) (one T, found bool) {
	if index < len(items) {
		return items[index], true
	}
	return one, false
}

// Relations are the tables, views and functions that the statement names.
func Relations() []string { return Stand.Relations }

// MonotonicNS never goes backwards.
func MonotonicNS() uint64 { return uint64(Stand.Now) }

// WallMS counts milliseconds since 1970.
func WallMS() uint64 { return uint64((Stand.Wall + Stand.Now).Milliseconds()) }

// Random is the next number.
func Random() uint64 {
	next, found := item(Stand.Random, 0)
	if found {
		Stand.Random = Stand.Random[1:]
	}
	return next
}

// Count adds to a counter.
func Count(name string, by uint64) {
	metric(name, func(old float64) float64 { return old + float64(by) })
}

// Gauge sets a gauge.
func Gauge(name string, value float64) { metric(name, func(float64) float64 { return value }) }

// Observe adds a value to a histogram.
func Observe(name string, value uint64) {
	metric(name, func(float64) float64 { return float64(value) })
}

func metric(name string, change func(float64) float64) {
	if Stand.Metrics == nil {
		Stand.Metrics = map[string]float64{}
	}
	Stand.Metrics[name] = change(Stand.Metrics[name])
}
