package howdah

// Level of a line in the proxy's log.
type Level uint8

const (
	Trace Level = iota
	Debug
	Info
	Warn
	Error
)
