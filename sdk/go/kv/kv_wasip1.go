package kv

import (
	"errors"
	"runtime"
	"time"
	"unsafe"

	"howdah/internal/abi"
)

//go:wasmimport howdah:policy/kv@0.1.0 get
func get(key unsafe.Pointer, keyLen uint32, ret unsafe.Pointer)

//go:wasmimport howdah:policy/kv@0.1.0 set
func set(
	key unsafe.Pointer, keyLen uint32, value unsafe.Pointer, valueLen uint32, expires uint32, ms uint64,
	ret unsafe.Pointer,
)

//go:wasmimport howdah:policy/kv@0.1.0 delete
func remove(key unsafe.Pointer, keyLen uint32)

//go:wasmimport howdah:policy/kv@0.1.0 compare-and-swap
func compareAndSwap(
	key unsafe.Pointer, keyLen uint32, some uint32, expected unsafe.Pointer, expectedLen uint32, value unsafe.Pointer,
	valueLen uint32, expires uint32, ms uint64, ret unsafe.Pointer,
)

//go:wasmimport howdah:policy/kv@0.1.0 increment
func increment(key unsafe.Pointer, keyLen uint32, by int64, expires uint32, ms uint64, ret unsafe.Pointer)

// failure is the variant error of the interface.
type failure struct {
	Tag  uint8
	Text abi.Text
}

func (f failure) err() error {
	defer abi.Read()
	if f.Tag < 3 {
		return [...]error{ErrQuota, ErrTooLarge, ErrNotANumber}[f.Tag]
	}
	return errors.New(f.Text.String())
}

func text(text string) (unsafe.Pointer, uint32) {
	return unsafe.Pointer(unsafe.StringData(text)), uint32(len(text))
}

func bytes(bytes []byte) (unsafe.Pointer, uint32) {
	return unsafe.Pointer(unsafe.SliceData(bytes)), uint32(len(bytes))
}

// until is an optional time to live.
func until(ttl time.Duration) (expires uint32, ms uint64) {
	if ttl == 0 {
		return 0, 0
	}
	// At least one millisecond: nothing is for ever because it is short.
	return 1, uint64(max(ttl.Milliseconds(), 1))
}

// Get is the value of a key. False: there is none.
func Get(key string) ([]byte, bool) {
	var ret abi.OptionText
	pointer, size := text(key)
	get(pointer, size, unsafe.Pointer(&ret))
	runtime.KeepAlive(key)
	defer abi.Read()
	if ret.Some && ret.Text.Len == 0 {
		return []byte{}, true
	}
	return ret.Text.Bytes(), ret.Some
}

// Set sets a value.
func Set(key string, value []byte, ttl time.Duration) error {
	var ret struct {
		Failed  bool
		Failure failure
	}
	pointer, size := text(key)
	bytes, length := bytes(value)
	expires, ms := until(ttl)
	set(pointer, size, bytes, length, expires, ms, unsafe.Pointer(&ret))
	runtime.KeepAlive(key)
	runtime.KeepAlive(value)
	if ret.Failed {
		return ret.Failure.err()
	}
	return nil
}

// Delete forgets a value.
func Delete(key string) {
	pointer, size := text(key)
	remove(pointer, size)
	runtime.KeepAlive(key)
}

// CompareAndSwap sets a value if the present one is as expected, nil: if there is none. It tells whether it was.
func CompareAndSwap(key string, expected, value []byte, ttl time.Duration) (bool, error) {
	// Swapped and the tag of the failure lie in one place.
	var ret struct {
		Failed  bool
		Failure failure
	}
	var some uint32
	if expected != nil {
		some = 1
	}
	pointer, size := text(key)
	old, oldLen := bytes(expected)
	bytes, length := bytes(value)
	expires, ms := until(ttl)
	compareAndSwap(pointer, size, some, old, oldLen, bytes, length, expires, ms, unsafe.Pointer(&ret))
	runtime.KeepAlive(key)
	runtime.KeepAlive(expected)
	runtime.KeepAlive(value)
	if ret.Failed {
		return false, ret.Failure.err()
	}
	return ret.Failure.Tag != 0, nil
}

// Increment adds to a number, which is 0 when it is not there, and tells the sum. The time to live counts from when
// the number was first there.
func Increment(key string, by int64, ttl time.Duration) (int64, error) {
	// The sum and the failure lie in one place: the tag in its first byte, the text behind the fourth.
	var ret struct {
		Failed bool
		Sum    int64
		Rest   uint64
	}
	pointer, size := text(key)
	expires, ms := until(ttl)
	increment(pointer, size, by, expires, ms, unsafe.Pointer(&ret))
	runtime.KeepAlive(key)
	if ret.Failed {
		return 0, (*failure)(unsafe.Pointer(&ret.Sum)).err()
	}
	return ret.Sum, nil
}
