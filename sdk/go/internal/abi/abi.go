// Package abi is how values lie in memory between host and guest: the canonical ABI of the component model, in which
// pointers have 32 bits. The structs of this package and of the hooks are laid out by its rules, which are Go's too.
package abi

import "unsafe"

// Text is a string, or any list of bytes.
type Text struct{ Ptr, Len uint32 }

// List is a list of anything.
type List struct{ Ptr, Len uint32 }

// OptionText is an optional Text.
type OptionText struct {
	Some bool
	Text Text
}

// OptionU64 is an optional number.
type OptionU64 struct {
	Some  bool
	Value uint64
}

// OptionU32 is an optional number.
type OptionU32 struct {
	Some  bool
	Value uint32
}

// Pair is two texts.
type Pair struct{ A, B Text }

// Failed is a result that is an error or nothing.
type Failed struct {
	Is    bool
	Error Text
}

// held keeps alive what the host has been told of, until the next answer; given what it has made room for, until it
// has been read.
var held, given []any

// Room is memory for the host to write to.
func Room(size uint32) unsafe.Pointer {
	words := make([]uint64, (size+7)/8)
	given = append(given, words)
	return unsafe.Pointer(unsafe.SliceData(words))
}

// Read says that all that the host has written has become Go's.
func Read() {
	clear(given)
	given = given[:0]
}

// Asked says that all of a question has become Go's, and begins its answer: what the last one held is not needed any
// more.
func Asked() {
	Read()
	clear(held)
	held = held[:0]
}

// Result lends what a function has failed with, or nothing.
func Result(err error) Failed {
	if err == nil {
		return Failed{}
	}
	return Failed{Is: true, Error: Of(err.Error())}
}

// Of lends a text to the host.
func Of(text string) Text {
	if text == "" {
		return Text{1, 0}
	}
	held = append(held, text)
	return Text{address(unsafe.Pointer(unsafe.StringData(text))), uint32(len(text))}
}

// OfBytes lends bytes to the host.
func OfBytes(bytes []byte) Text {
	if len(bytes) == 0 {
		return Text{1, 0}
	}
	held = append(held, bytes)
	return Text{address(unsafe.Pointer(unsafe.SliceData(bytes))), uint32(len(bytes))}
}

// OfNumber is a number that may be nil.
func OfNumber(number *uint64) OptionU64 {
	if number == nil {
		return OptionU64{}
	}
	return OptionU64{true, *number}
}

// OfOption lends a text that may be nil.
func OfOption(text *string) OptionText {
	if text == nil {
		return OptionText{}
	}
	return OptionText{true, Of(*text)}
}

// OfList lends a list.
func OfList[T any](items []T) List {
	if len(items) == 0 {
		return List{8, 0}
	}
	held = append(held, items)
	return List{address(unsafe.Pointer(unsafe.SliceData(items))), uint32(len(items))}
}

// OfPairs lends pairs.
func OfPairs(pairs [][2]string) List {
	items := make([]Pair, len(pairs))
	for i, pair := range pairs {
		items[i] = Pair{Of(pair[0]), Of(pair[1])}
	}
	return OfList(items)
}

// String is a text as Go's own. The bytes are not copied: nobody else has them.
func (t Text) String() string {
	if t.Len == 0 {
		return ""
	}
	return unsafe.String((*byte)(at(t.Ptr)), t.Len)
}

// Bytes is the same as bytes.
func (t Text) Bytes() []byte {
	if t.Len == 0 {
		return nil
	}
	return unsafe.Slice((*byte)(at(t.Ptr)), t.Len)
}

// Pointer is the text, or nil.
func (t OptionText) Pointer() *string {
	if !t.Some {
		return nil
	}
	text := t.Text.String()
	return &text
}

// Pointer is the number, or nil.
func (o OptionU64) Pointer() *uint64 {
	if !o.Some {
		return nil
	}
	return &o.Value
}

// Items are the items of a list, as they lie there.
func Items[T any](list List) []T {
	if list.Len == 0 {
		return nil
	}
	return unsafe.Slice((*T)(at(list.Ptr)), list.Len)
}

// Strings is a list of texts.
func Strings(list List) []string {
	texts := make([]string, list.Len)
	for i, text := range Items[Text](list) {
		texts[i] = text.String()
	}
	return texts
}

// Pairs is a list of pairs.
func Pairs(list List) [][2]string {
	pairs := make([][2]string, list.Len)
	for i, pair := range Items[Pair](list) {
		pairs[i] = [2]string{pair.A.String(), pair.B.String()}
	}
	return pairs
}

// Address is where a variable lies, for the host to read it.
func Address[T any](variable *T) uint32 { return address(unsafe.Pointer(variable)) }

func address(pointer unsafe.Pointer) uint32 { return uint32(uintptr(pointer)) }

// at turns an address that the host handed over into a pointer. It was ours before: Room gave it.
func at(address uint32) unsafe.Pointer {
	place := uintptr(address)
	return *(*unsafe.Pointer)(unsafe.Pointer(&place))
}
