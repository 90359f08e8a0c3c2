package session

import (
	"howdah"
	"howdah/internal/abi"
)

type optionMode struct {
	Some bool
	Mode uint8
}

// decision is a variant with room for its largest case, the admission.
type decision struct {
	Tag                     uint8
	User, Database, Cluster abi.OptionText
	PoolMode                optionMode
	Settings                abi.List
	Priority                int8
	MaxWaitMS               abi.OptionU32
	Class                   uint32
}

// refusal is the same variant in its other case.
type refusal struct {
	Tag               uint8
	SQLState, Message abi.Text
}

const (
	noOpinion = iota
	accept
	refuse
)

var (
	admitted decision
	refused  refusal
)

//go:wasmexport howdah:policy/session@0.1.0#open
func open(
	id uint64, user, userLen, database, databaseLen, application, applicationLen, address, addressLen, parameters,
	parametersLen uint32,
) uint32 {
	client := &howdah.Client{
		ID:              id,
		User:            abi.Text{Ptr: user, Len: userLen}.String(),
		Database:        abi.Text{Ptr: database, Len: databaseLen}.String(),
		ApplicationName: abi.Text{Ptr: application, Len: applicationLen}.String(),
		Address:         abi.Text{Ptr: address, Len: addressLen}.String(),
		Parameters:      abi.Pairs(abi.List{Ptr: parameters, Len: parametersLen}),
	}
	abi.Asked()
	admission := handle(client)
	if admission != nil && admission.Refuse != nil {
		because := admission.Refuse
		refused = refusal{refuse, abi.Of(because.SQLState), abi.Of(because.Message)}
		return abi.Address(&refused)
	}
	admitted = decision{}
	if admission != nil {
		admitted = accepted(admission)
	}
	return abi.Address(&admitted)
}

func accepted(a *howdah.Admission) decision {
	d := decision{
		Tag:      accept,
		User:     abi.OfOption(a.User),
		Database: abi.OfOption(a.Database),
		Cluster:  abi.OfOption(a.Cluster),
		Settings: abi.OfPairs(a.Settings),
		Priority: a.Priority,
		Class:    a.Class,
	}
	if a.PoolMode != nil {
		d.PoolMode = optionMode{true, uint8(*a.PoolMode)}
	}
	if a.MaxWaitMS != nil {
		d.MaxWaitMS = abi.OptionU32{Some: true, Value: *a.MaxWaitMS}
	}
	return d
}

//go:wasmexport howdah:policy/session@0.1.0#closed
func gone(id uint64) {
	if closed != nil {
		closed(id)
	}
}
