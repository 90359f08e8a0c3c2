package route

import (
	"howdah"
	"howdah/internal/abi"
	"howdah/internal/lift"
)

type optionPair struct {
	Some bool
	Pair abi.Pair
}

// replica is the verdict in the case that is largest.
type replica struct {
	Tag                   uint8
	MaxLagMS, MaxLagBytes abi.OptionU64
	Label                 optionPair
	Otherwise             uint8
	// Padded to eight bytes.
	Remember uint64
}

// texts is the same verdict in a case with one text or two, or two lists, which lie alike.
type texts struct {
	Tag      uint8
	_        [7]uint8
	A, B     abi.Text
	_        [40]uint8
	Remember uint8
}

var (
	toReplica replica
	others    texts
)

//go:wasmexport howdah:policy/route@0.1.0#route
func route(sql, sqlLen, kind uint32, digest uint64, facts, class uint32) uint32 {
	verdict := handle(lift.Statement(sql, sqlLen, kind, digest, facts, class))
	decision := &verdict.Decision
	if decision.To == howdah.ToReplica {
		toReplica = demanded(&decision.Demands, verdict.Remember)
		return abi.Address(&toReplica)
	}
	others = texts{Tag: uint8(decision.To), Remember: uint8(verdict.Remember)}
	switch decision.To {
	case howdah.ToNode, howdah.ToCluster, howdah.ToPin:
		others.A = abi.Of(decision.Name)
	case howdah.ToRefuse:
		others.A, others.B = abi.Of(decision.Refusal.SQLState), abi.Of(decision.Refusal.Message)
	case howdah.ToAnswer:
		others.A, others.B = table(&decision.Table)
	}
	return abi.Address(&others)
}

func demanded(d *howdah.Demands, remember howdah.Remember) replica {
	r := replica{
		Tag:         uint8(howdah.ToReplica),
		MaxLagMS:    abi.OfNumber(d.MaxLagMS),
		MaxLagBytes: abi.OfNumber(d.MaxLagBytes),
		Otherwise:   uint8(d.Otherwise),
		Remember:    uint64(remember),
	}
	if d.Label != nil {
		r.Label = optionPair{true, abi.Pair{A: abi.Of(d.Label[0]), B: abi.Of(d.Label[1])}}
	}
	return r
}

func table(t *howdah.Table) (columns, rows abi.Text) {
	names := make([]abi.Text, len(t.Columns))
	for i, name := range t.Columns {
		names[i] = abi.Of(name)
	}
	lists := make([]abi.List, len(t.Rows))
	for i, row := range t.Rows {
		values := make([]abi.OptionText, len(row))
		for j, value := range row {
			values[j] = abi.OfOption(value)
		}
		lists[i] = abi.OfList(values)
	}
	return abi.Text(abi.OfList(names)), abi.Text(abi.OfList(lists))
}
