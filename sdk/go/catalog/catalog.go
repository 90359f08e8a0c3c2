// Package catalog tells what is known of the session's database. Needs grants = ["catalog"].
package catalog

// Volatility of a function.
type Volatility uint8

const (
	Immutable Volatility = iota
	Stable
	Volatile
	Unknown
)
