//go:build !wasip1

package howdah

// Stand is the host's stand-in in native tests: what a policy would see, and what it did.
var Stand struct {
	Tags                            map[string]string
	Settings                        Settings
	User, Database, ApplicationName string
	Lines                           []string
	Metrics                         map[string]float64
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
