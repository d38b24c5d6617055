package signedtoken

import (
	"path/filepath"
	"testing"
)

func TestTokensOpenWithTheirKeyForTheirPurposeOnly(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key")
	key, err := LoadKey(path)
	if err != nil {
		t.Fatal(err)
	}
	again, err := LoadKey(path)
	if err != nil {
		t.Fatal(err)
	}
	other, err := LoadKey(path + "2")
	if err != nil {
		t.Fatal(err)
	}
	token := key.Seal("push", map[string]string{"who": "me"})
	var claims map[string]string
	if err := again.Open("push", token, &claims); err != nil || claims["who"] != "me" {
		t.Errorf("opened %v, %v", claims, err)
	}
	for name, open := range map[string]func() error{
		"another key":     func() error { return other.Open("push", token, &claims) },
		"another purpose": func() error { return key.Open("pull", token, &claims) },
		"changed claims":  func() error { return key.Open("push", "x"+token, &claims) },
		"no seal":         func() error { return key.Open("push", "eyJ9", &claims) },
		"nothing":         func() error { return key.Open("push", "", &claims) },
	} {
		if open() == nil {
			t.Errorf("%s opens it", name)
		}
	}
}
