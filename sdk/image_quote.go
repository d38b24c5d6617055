package daytona

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"unicode/utf16"
)

// quoteJSON makes a string of JSON in ASCII, which Dockerfiles of all encodings
// can hold.
func quoteJSON(s string) string {
	var b strings.Builder
	for _, r := range encodeJSON(s) {
		switch {
		case r > 0xffff:
			high, low := utf16.EncodeRune(r)
			fmt.Fprintf(&b, `\u%04x\u%04x`, high, low)
		case r > '~':
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// listJSON is the inside of an exec form.
func listJSON(args []string) string {
	var quoted []string
	for _, a := range args {
		quoted = append(quoted, encodeJSON(a))
	}
	return strings.Join(quoted, ", ")
}

func encodeJSON(s string) string {
	var text bytes.Buffer
	e := json.NewEncoder(&text)
	e.SetEscapeHTML(false)
	_ = e.Encode(s) // of a string and to memory, which never fails
	return strings.TrimSuffix(text.String(), "\n")
}
