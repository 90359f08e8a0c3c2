package howdah

import (
	"runtime"
	"unsafe"

	"howdah/internal/abi"
)

//go:wasmimport howdah:policy/log@0.1.0 write
func logWrite(level uint32, line unsafe.Pointer, size uint32)

//go:wasmimport howdah:policy/settings@0.1.0 get
func settingsGet(name unsafe.Pointer, size uint32, ret unsafe.Pointer)

//go:wasmimport howdah:policy/question@0.1.0 tag
func questionTag(key unsafe.Pointer, size uint32, ret unsafe.Pointer)

//go:wasmimport howdah:policy/question@0.1.0 user
func questionUser(ret unsafe.Pointer)

//go:wasmimport howdah:policy/question@0.1.0 database
func questionDatabase(ret unsafe.Pointer)

//go:wasmimport howdah:policy/question@0.1.0 application-name
func questionApplicationName(ret unsafe.Pointer)

//go:wasmimport howdah:policy/question@0.1.0 parameter
func questionParameter(number uint32, ret unsafe.Pointer)

//go:wasmimport howdah:policy/question@0.1.0 literal
func questionLiteral(index uint32, ret unsafe.Pointer)

//go:wasmimport howdah:policy/question@0.1.0 relations
func questionRelations(ret unsafe.Pointer)

//go:wasmimport howdah:policy/metrics@0.1.0 count
func metricsCount(name unsafe.Pointer, size uint32, by uint64)

//go:wasmimport howdah:policy/metrics@0.1.0 gauge
func metricsGauge(name unsafe.Pointer, size uint32, value float64)

//go:wasmimport howdah:policy/metrics@0.1.0 observe
func metricsObserve(name unsafe.Pointer, size uint32, value uint64)

//go:wasmimport howdah:policy/clock@0.1.0 monotonic-ns
func clockMonotonic() uint64

//go:wasmimport howdah:policy/clock@0.1.0 wall-ms
func clockWall() uint64

//go:wasmimport howdah:policy/random@0.1.0 next
func randomNext() uint64

// place is where a text lies.
func place(text string) (unsafe.Pointer, uint32) {
	return unsafe.Pointer(unsafe.StringData(text)), uint32(len(text))
}

// ask hands the host a text and a place for its answer.
func ask[T any](function func(unsafe.Pointer, uint32, unsafe.Pointer), text string, ret *T) {
	pointer, size := place(text)
	function(pointer, size, unsafe.Pointer(ret))
	runtime.KeepAlive(text)
}

// told is a text that the host answers.
func told(function func(unsafe.Pointer)) string {
	var ret abi.Text
	function(unsafe.Pointer(&ret))
	text := ret.String()
	abi.Read()
	return text
}

// Log writes one line to the proxy's log.
func Log(level Level, line string) {
	pointer, size := place(line)
	logWrite(uint32(level), pointer, size)
	runtime.KeepAlive(line)
}

// Setting is a setting, or nil.
func Setting(name string) any {
	var ret struct {
		Some  bool
		Value abi.Value
	}
	ask(settingsGet, name, &ret)
	defer abi.Read()
	if !ret.Some {
		return nil
	}
	return ret.Value.Any()
}

// Tag is a key of the statement's comment in sqlcommenter form.
func Tag(key string) (string, bool) {
	var ret abi.OptionText
	ask(questionTag, key, &ret)
	defer abi.Read()
	return ret.Text.String(), ret.Some
}

// User is who the client authenticated as. An answer that looks at it is not remembered.
func User() string { return told(questionUser) }

// Database is what the client asked for. An answer that looks at it is not remembered.
func Database() string { return told(questionDatabase) }

// ApplicationName is as the client last set it. An answer that looks at it is not remembered.
func ApplicationName() string { return told(questionApplicationName) }

// Parameter is the value bound to $number: a string in text format, []byte in binary, nil for NULL. False: there is
// none to be seen.
func Parameter(number uint16) (any, bool) {
	var ret struct {
		Some bool
		Tag  uint32
		Text abi.Text
	}
	questionParameter(uint32(number), unsafe.Pointer(&ret))
	defer abi.Read()
	switch uint8(ret.Tag) {
	case 1:
		return ret.Text.String(), ret.Some
	case 2:
		return ret.Text.Bytes(), ret.Some
	default:
		return nil, ret.Some
	}
}

// Literal is the constant at this place of the text, counted from 0.
func Literal(index uint32) (string, bool) {
	var ret abi.OptionText
	questionLiteral(index, unsafe.Pointer(&ret))
	defer abi.Read()
	return ret.Text.String(), ret.Some
}

// Relations are the tables, views and functions that the statement names.
func Relations() []string {
	var ret abi.List
	questionRelations(unsafe.Pointer(&ret))
	defer abi.Read()
	return abi.Strings(ret)
}

// Count adds to a counter. Needs grants = ["metrics"].
func Count(name string, by uint64) {
	pointer, size := place(name)
	metricsCount(pointer, size, by)
	runtime.KeepAlive(name)
}

// Gauge sets a gauge.
func Gauge(name string, value float64) {
	pointer, size := place(name)
	metricsGauge(pointer, size, value)
	runtime.KeepAlive(name)
}

// Observe adds a value to a histogram.
func Observe(name string, value uint64) {
	pointer, size := place(name)
	metricsObserve(pointer, size, value)
	runtime.KeepAlive(name)
}

// MonotonicNS never goes backwards. Needs grants = ["clock"].
func MonotonicNS() uint64 { return clockMonotonic() }

// WallMS counts milliseconds since 1970.
func WallMS() uint64 { return clockWall() }

// Random needs grants = ["random"].
func Random() uint64 { return randomNext() }
