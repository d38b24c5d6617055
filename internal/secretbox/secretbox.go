// Package secretbox encrypts the few values that the database must not show, such as
// the passwords of registries. A sealed value is text. It says which key it was
// sealed with, and opens only in the place that it was sealed for, so that it
// cannot be moved to another row. It imports no other package of the project; package
// server finds the key, and the nouns that have secrets seal and open them.
package secretbox

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
)

// Why a value does not open.
var (
	ErrOtherKey = errors.New("it was encrypted with another key")
	ErrDamaged  = errors.New("it is damaged, or was moved here from another place")
)

// Key seals and opens. Its methods may run at once.
type Key struct {
	id   string
	aead cipher.AEAD
}

// keySize is AES-256's.
const keySize = 32

// version begins every sealed value; another one would be another way to seal.
const version = "v1"

// NewKeyText makes a key, in the form that ParseKey takes.
func NewKeyText() string {
	key := make([]byte, keySize)
	_, _ = rand.Read(key) // never fails
	return base64.StdEncoding.EncodeToString(key)
}

// NewKey makes a key that nobody keeps.
func NewKey() *Key {
	k, err := ParseKey(NewKeyText())
	if err != nil {
		panic(err) // it has just been made
	}
	return k
}

// ParseKey reads a key: 32 bytes in base64.
func ParseKey(text string) (*Key, error) {
	raw, err := base64.StdEncoding.DecodeString(strings.TrimSpace(text))
	if err != nil || len(raw) != keySize {
		return nil, fmt.Errorf("an encryption key is %d random bytes in base64: make one by openssl rand -base64 %d", keySize, keySize)
	}
	block, err := aes.NewCipher(raw)
	if err != nil {
		return nil, fmt.Errorf("make cipher: %w", err)
	}
	// A nonce of 96 random bits is safe for 2³² values.
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, fmt.Errorf("make cipher: %w", err)
	}
	mac := hmac.New(sha256.New, raw)
	mac.Write([]byte("id of an encryption key"))
	return &Key{id: hex.EncodeToString(mac.Sum(nil)[:4]), aead: aead}, nil
}

// Seal encrypts plain for a place: the parts that name it, such as table,
// column and row.
func (k *Key) Seal(plain string, place ...string) string {
	sealed := k.aead.Seal(nil, nil, []byte(plain), bind(place))
	return strings.Join([]string{version, k.id, base64.RawURLEncoding.EncodeToString(sealed)}, ".")
}

// Open decrypts what was sealed for that place. Errors: ErrOtherKey, ErrDamaged.
func (k *Key) Open(sealed string, place ...string) (string, error) {
	parts := strings.Split(sealed, ".")
	if len(parts) != 3 || parts[0] != version {
		return "", ErrDamaged
	}
	if parts[1] != k.id {
		return "", fmt.Errorf("%w (%s, not %s)", ErrOtherKey, parts[1], k.id)
	}
	b, err := base64.RawURLEncoding.DecodeString(parts[2])
	if err != nil {
		return "", ErrDamaged
	}
	plain, err := k.aead.Open(nil, nil, b, bind(place))
	if err != nil {
		return "", ErrDamaged
	}
	return string(plain), nil
}

// bind writes the parts so that no two places are written alike.
func bind(place []string) []byte {
	var b bytes.Buffer
	for _, part := range place {
		b.Write(binary.BigEndian.AppendUint32(nil, uint32(len(part))))
		b.WriteString(part)
	}
	return b.Bytes()
}
