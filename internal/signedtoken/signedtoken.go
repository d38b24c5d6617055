// Package signedtoken seals what somebody may do into tokens that carry it
// themselves: nothing of them is stored, and nobody without the key can make or
// change one. The contexts' store and the registry of pushed images give theirs
// out this way. It imports only package durable of the project.
package signedtoken

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"strings"

	"github.com/opendaytona/daytona/internal/durable"
)

// ErrInvalid says that a token was not sealed with this key for this purpose.
var ErrInvalid = errors.New("the token is not valid")

// Key seals and opens tokens.
type Key []byte

const keySize = 32 // bytes

// LoadKey reads the key at path, making one where there is none.
func LoadKey(path string) (Key, error) {
	key, err := os.ReadFile(path)
	if err == nil && len(key) == keySize {
		return key, nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	key = make([]byte, keySize)
	_, _ = rand.Read(key) // never fails (crypto/rand)
	return key, durable.WriteFile(path, key, 0o600)
}

// MAC is the code of a text; other purposes have others.
func (k Key) MAC(purpose, text string) []byte {
	h := hmac.New(sha256.New, k)
	h.Write([]byte(purpose + ":" + text))
	return h.Sum(nil)
}

// Seal puts claims, which must be JSON's, into a token.
func (k Key) Seal(purpose string, claims any) string {
	text, _ := json.Marshal(claims) // of plain fields, which never fails
	body := base64.RawURLEncoding.EncodeToString(text)
	return body + "." + k.code(purpose, body)
}

func (k Key) code(purpose, body string) string {
	return base64.RawURLEncoding.EncodeToString(k.MAC(purpose, body))
}

// Open takes the claims out of a token. Whether they still hold is the caller's
// to see. Errors: ErrInvalid.
func (k Key) Open(purpose, token string, claims any) error {
	body, mac, _ := strings.Cut(token, ".")
	// Letter by letter: decoders forgive line breaks and loose bits.
	if !hmac.Equal([]byte(mac), []byte(k.code(purpose, body))) {
		return ErrInvalid
	}
	text, err := base64.RawURLEncoding.DecodeString(body)
	if err != nil || json.Unmarshal(text, claims) != nil {
		return ErrInvalid
	}
	return nil
}
