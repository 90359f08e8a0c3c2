package main

import (
	"testing"

	"howdah"
)

func TestLimit(t *testing.T) {
	howdah.Stand.Tags = map[string]string{"cap": "10"}
	for sql, want := range map[string]string{
		"SELECT * FROM t /* cap='10' */ ;": "SELECT * FROM t /* cap='10' */ LIMIT 10",
		"SELECT 1 LIMIT 5 /* cap='10' */":  "",
		"SHOW x /* cap='10' */":            "",
	} {
		got := limit(&howdah.Statement{SQL: sql, Kind: howdah.Read})
		if (got.SQL == nil) != (want == "") || got.SQL != nil && *got.SQL != want {
			t.Errorf("%s: %v", sql, got)
		}
	}
}
