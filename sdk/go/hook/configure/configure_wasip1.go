package configure

import (
	"howdah"
	"howdah/internal/abi"
)

type setting struct {
	Name  abi.Text
	Value abi.Value
}

var answer abi.Failed

//go:wasmexport howdah:policy/configure@0.1.0#configure
func configure(settings, count uint32) uint32 {
	values := make(howdah.Settings, count)
	for _, one := range abi.Items[setting](abi.List{Ptr: settings, Len: count}) {
		values[one.Name.String()] = one.Value.Any()
	}
	abi.Asked()
	answer = abi.Result(handle(values))
	return abi.Address(&answer)
}
