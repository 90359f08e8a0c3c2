//go:build !wasip1

package catalog

// Stand is the host's stand-in in native tests: functions by name, or by schema and name with a dot.
var Stand = map[string]Volatility{}

// Function is the worst of all functions that a call by this name may mean. Without a schema: in any.
func Function(schema, name string) Volatility {
	if schema != "" {
		name = schema + "." + name
	}
	if volatility, known := Stand[name]; known {
		return volatility
	}
	return Unknown
}
