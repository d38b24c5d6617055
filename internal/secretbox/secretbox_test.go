package secretbox

import (
	"encoding/base64"
	"errors"
	"strings"
	"testing"
)

func newKey(t *testing.T) *Key {
	t.Helper()
	k, err := ParseKey(NewKeyText() + "\n")
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestWhatIsSealedOpensInItsPlaceOnly(t *testing.T) {
	k := newKey(t)
	for _, plain := range []string{"", "secret", strings.Repeat("long ", 10_000), "\x00\xff"} {
		sealed := k.Seal(plain, "table", "row")
		if got, err := k.Open(sealed, "table", "row"); err != nil || got != plain {
			t.Errorf("opened %q, %v", got, err)
		}
		if plain != "" && strings.Contains(sealed, plain) {
			t.Errorf("%q shows what it holds", sealed)
		}
		for _, place := range [][]string{{"table", "other"}, {"tabler", "ow"}, {"table"}, {"row", "table"}, nil} {
			if _, err := k.Open(sealed, place...); !errors.Is(err, ErrDamaged) {
				t.Errorf("opened at %q: %v", place, err)
			}
		}
	}
	if once, again := k.Seal("same", "place"), k.Seal("same", "place"); once == again {
		t.Error("the same value is sealed alike twice")
	}
}

func TestAnotherKeyIsToldFromDamage(t *testing.T) {
	k, other := newKey(t), newKey(t)
	sealed := k.Seal("secret", "x")
	if _, err := other.Open(sealed, "x"); !errors.Is(err, ErrOtherKey) {
		t.Errorf("another key: %v", err)
	}
	b, err := base64.RawURLEncoding.DecodeString(sealed[strings.LastIndex(sealed, ".")+1:])
	if err != nil {
		t.Fatal(err)
	}
	for i := range b {
		b[i] ^= 1
		changed := sealed[:strings.LastIndex(sealed, ".")+1] + base64.RawURLEncoding.EncodeToString(b)
		if _, err := k.Open(changed, "x"); !errors.Is(err, ErrDamaged) {
			t.Fatalf("byte %d changed: %v", i, err)
		}
		b[i] ^= 1
	}
	for _, text := range []string{"", "secret", "v2." + sealed[3:], sealed[:len(sealed)-2], sealed + ".", "v1." + k.id + ".?"} {
		if _, err := k.Open(text, "x"); !errors.Is(err, ErrDamaged) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestAKeyIs32BytesInBase64(t *testing.T) {
	for _, text := range []string{"", "short", base64.StdEncoding.EncodeToString(make([]byte, 31)), strings.Repeat("a", 64), NewKeyText() + "A"} {
		if _, err := ParseKey(text); err == nil || !strings.Contains(err.Error(), "openssl rand") {
			t.Errorf("%q: %v", text, err)
		}
	}
}
