// A SELECT whose comment has the tag cap gets a LIMIT, if it has none: an application caps what its reports may return
// by SELECT … /* cap='1000' */.
package main

import (
	"strings"

	"howdah"
	"howdah/hook/rewrite"
)

// Longest cap, in digits.
const maxDigits = 9

func init() { rewrite.Handle(limit) }

func limit(s *howdah.Statement) howdah.Rewritten {
	if s.Kind != howdah.Read || s.Facts.Has(howdah.Several|howdah.LocksRows|howdah.Copy) {
		return howdah.Unchanged(howdah.ByDigest)
	}
	if limit, tagged := howdah.Tag("cap"); tagged {
		if sql, fits := capped(s.SQL, limit); fits {
			return howdah.Changed(sql, howdah.ByText)
		}
	}
	return howdah.Unchanged(howdah.ByText)
}

// capped is the text with a LIMIT; false when it cannot simply be put behind.
func capped(sql, limit string) (string, bool) {
	digits := limit != "" && len(limit) <= maxDigits && strings.Trim(limit, "0123456789") == ""
	text := strings.TrimRight(sql, " \t\r\n;")
	lower := strings.ToLower(text)
	simple := strings.HasPrefix(lower, "select")
	for _, word := range []string{"limit", "fetch", "--"} {
		simple = simple && !strings.Contains(lower, word)
	}
	return text + " LIMIT " + limit, digits && simple
}

func main() {}
