package events

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
)

// FuzzPacket looks for a packet of a client that is not read as what it was
// written as.
func FuzzPacket(f *testing.F) {
	f.Add(`0{"token":"x"}`)
	f.Add(`0/admin?a=b,{"token":"x"}`)
	f.Add("2/,[]")
	f.Add("")
	f.Fuzz(func(t *testing.T, text string) {
		p, ok := parsePacket(text)
		if ok != (text != "") || ok && !strings.HasPrefix(p.namespace, "/") {
			t.Fatalf("%q: %+v, %v", text, p, ok)
		}
		if !ok || strings.ContainsAny(p.namespace, ",?") || !json.Valid([]byte(p.data)) {
			return
		}
		message := encode(p.kind, p.namespace, json.RawMessage(p.data))
		again, ok := parsePacket(string(message[1:]))
		var compact bytes.Buffer
		if err := json.Compact(&compact, []byte(p.data)); err != nil {
			t.Fatal(err)
		}
		// encoding/json escapes what could end a script.
		if !ok || again.kind != p.kind || again.namespace != p.namespace || !sameJSON(t, again.data, compact.String()) {
			t.Fatalf("%q: %+v was written as %q, which is %+v", text, p, message, again)
		}
	})
}

func sameJSON(t *testing.T, a, b string) bool {
	t.Helper()
	values := make([]string, 2)
	for i, text := range []string{a, b} {
		d := json.NewDecoder(strings.NewReader(text))
		d.UseNumber()
		var v any
		if err := d.Decode(&v); err != nil {
			t.Fatal(err)
		}
		out, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		values[i] = string(out)
	}
	return values[0] == values[1]
}
