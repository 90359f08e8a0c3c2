package abi

import "math"

// Value is a setting's value: a variant with room for its largest case.
type Value struct {
	Tag     uint8
	Payload uint64
}

// Any is the value as Go's own.
func (v Value) Any() any {
	text := Text{uint32(v.Payload), uint32(v.Payload >> 32)}
	switch v.Tag {
	case 0:
		return uint8(v.Payload) != 0
	case 1:
		return int64(v.Payload)
	case 2:
		return math.Float64frombits(v.Payload)
	case 3:
		return text.String()
	default:
		return Strings(List(text))
	}
}
