package signedtoken

import (
	"errors"
	"testing"
)

// FuzzOpen looks for a token that opens and was not sealed, letter by letter.
func FuzzOpen(f *testing.F) {
	type claims struct {
		Organization string
		Until        int64
	}
	key := Key(make([]byte, keySize))
	own := claims{"org", 42}
	sealed := key.Seal("upload", own)
	for _, token := range []string{sealed, sealed + "=", sealed + "\n", sealed[:len(sealed)-1] + "B", "." + sealed, key.Seal("push", own), ".", ""} {
		f.Add("upload", token)
	}
	f.Add("push", sealed)
	f.Fuzz(func(t *testing.T, purpose, token string) {
		var got claims
		err := key.Open(purpose, token, &got)
		if (err == nil) != (token == key.Seal(purpose, own)) {
			t.Fatalf("%q for %q: %+v, %v", token, purpose, got, err)
		}
		if err != nil && !errors.Is(err, ErrInvalid) {
			t.Fatal(err)
		}
	})
}
