// Package kv holds values that all instances of a policy share, and with the configuration's [kv] all proxies. Needs
// grants = ["kv"]. An answer that used it is not remembered.
//
// A time to live of 0 is for ever.
package kv

import "errors"

var (
	// ErrQuota is what the policy's limits say: limits.kv_keys, limits.kv_bytes.
	ErrQuota = errors.New("the policy's shared values are used up")
	// ErrTooLarge is about a key of none or more than 256 bytes, or a value of more than 64 KiB.
	ErrTooLarge = errors.New("the key or the value is too large")
	// ErrNotANumber is about what cannot be incremented.
	ErrNotANumber = errors.New("the shared value is no number")
)
