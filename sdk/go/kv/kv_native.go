//go:build !wasip1

package kv

import (
	"bytes"
	"errors"
	"strconv"
	"time"

	"howdah"
)

const (
	maxKey   = 256
	maxValue = 64 << 10
)

// Value is a shared value in a native test, and when howdah.Stand.Now it is forgotten; 0: never.
type Value struct {
	Bytes []byte
	Until time.Duration
}

// Stand is the host's stand-in in native tests. MaxKeys is 0 for as many as it likes.
var Stand = struct {
	Values  map[string]Value
	MaxKeys int
}{Values: map[string]Value{}}

// Get is the value of a key. False: there is none.
func Get(key string) ([]byte, bool) {
	value, found := present(key)
	return bytes.Clone(value.Bytes), found
}

// Set sets a value.
func Set(key string, value []byte, ttl time.Duration) error { return put(key, value, until(ttl)) }

// Delete forgets a value.
func Delete(key string) { delete(Stand.Values, key) }

// CompareAndSwap sets a value if the present one is as expected, nil: if there is none. It tells whether it was.
func CompareAndSwap(key string, expected, value []byte, ttl time.Duration) (bool, error) {
	held, found := present(key)
	if found != (expected != nil) || !bytes.Equal(held.Bytes, expected) {
		return false, nil
	}
	return true, put(key, value, until(ttl))
}

// Increment adds to a number, which is 0 when it is not there, and tells the sum. The time to live counts from when
// the number was first there.
func Increment(key string, by int64, ttl time.Duration) (int64, error) {
	held, found := present(key)
	if !found {
		held = Value{[]byte("0"), until(ttl)}
	}
	number, err := strconv.ParseInt(string(held.Bytes), 10, 64)
	if err != nil {
		return 0, ErrNotANumber
	}
	sum := number + by
	if (sum > number) != (by > 0) && by != 0 {
		return 0, errors.New("the sum has more than 64 bits")
	}
	return sum, put(key, strconv.AppendInt(nil, sum, 10), held.Until)
}

func until(ttl time.Duration) time.Duration {
	if ttl == 0 {
		return 0
	}
	return howdah.Stand.Now + ttl
}

func present(key string) (Value, bool) {
	value, found := Stand.Values[key]
	if !found || value.Until != 0 && value.Until <= howdah.Stand.Now {
		delete(Stand.Values, key)
		return Value{}, false
	}
	return value, true
}

func put(key string, value []byte, until time.Duration) error {
	if key == "" || len(key) > maxKey || len(value) > maxValue {
		return ErrTooLarge
	}
	if _, found := present(key); !found && Stand.MaxKeys != 0 && len(Stand.Values) >= Stand.MaxKeys {
		return ErrQuota
	}
	Stand.Values[key] = Value{bytes.Clone(value), until}
	return nil
}
