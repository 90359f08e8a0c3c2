package kv

import (
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"howdah"
)

func counted(t *testing.T, key string, by, want int64) {
	t.Helper()
	if sum, err := Increment(key, by, time.Second); sum != want || err != nil {
		t.Errorf("%d, %v; want %d", sum, err, want)
	}
}

func TestValuesAreForgottenAsTheClockGoesOn(t *testing.T) {
	counted(t, "n", 2, 2)
	howdah.Stand.Now += 600 * time.Millisecond
	counted(t, "n", 2, 4)
	howdah.Stand.Now += 600 * time.Millisecond
	counted(t, "n", 2, 2)
	if err := Set("text", []byte("x"), 0); err != nil {
		t.Error(err)
	}
	howdah.Stand.Now += time.Hour
	if value, found := Get("text"); string(value) != "x" || !found {
		t.Errorf("%q, %v", value, found)
	}
	if _, found := Get("n"); found {
		t.Error("it should be forgotten")
	}
}

func TestAValueIsSwappedOnlyWhenItIsAsExpected(t *testing.T) {
	swap := func(expected, value []byte, want bool) {
		t.Helper()
		if swapped, err := CompareAndSwap("k", expected, value, 0); swapped != want || err != nil {
			t.Errorf("%v, %v; want %v", swapped, err, want)
		}
	}
	swap([]byte{}, []byte("a"), false)
	swap(nil, []byte{}, true)
	swap(nil, []byte("a"), false)
	swap([]byte{}, []byte("a"), true)
	swap([]byte("b"), []byte("c"), false)
	Delete("k")
	swap(nil, []byte("a"), true)
}

func TestWhatCannotBeDoneIsTold(t *testing.T) {
	clear(Stand.Values)
	Stand.MaxKeys = 1
	fails := func(err, want error) {
		t.Helper()
		if !errors.Is(err, want) {
			t.Errorf("%v; want %v", err, want)
		}
	}
	fails(Set("", nil, 0), ErrTooLarge)
	fails(Set(strings.Repeat("k", 257), nil, 0), ErrTooLarge)
	fails(Set("k", make([]byte, 64<<10+1), 0), ErrTooLarge)
	fails(Set("k", []byte("x"), 0), nil)
	fails(Set("l", nil, 0), ErrQuota)
	_, err := Increment("k", 1, 0)
	fails(err, ErrNotANumber)
	Delete("k")
	counted(t, "n", math.MaxInt64, math.MaxInt64)
	if _, err := Increment("n", 1, 0); err == nil {
		t.Error("the sum has more than 64 bits")
	}
	Stand.MaxKeys = 0
}
