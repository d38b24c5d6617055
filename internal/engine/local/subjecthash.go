package local

import (
	"bytes"
	"crypto/sha1" //nolint:gosec // which is what OpenSSL names files by
	"encoding/asn1"
	"encoding/binary"
	"fmt"
	"strings"
	"unicode/utf16"
)

// subjectHash is the name by which OpenSSL looks for the certificate of a subject:
// the beginning of the SHA-1 of its canonical form, in which texts are UTF-8
// without capitals and needless spaces (X509_NAME_hash(3)).
func subjectHash(subject []byte) (string, error) {
	var sets []asn1.RawValue
	if _, err := asn1.Unmarshal(subject, &sets); err != nil {
		return "", fmt.Errorf("read subject: %w", err)
	}
	sum := sha1.New() //nolint:gosec // as above
	for _, set := range sets {
		var attributes []byte
		for rest := set.Bytes; len(rest) > 0; {
			var a struct {
				Type  asn1.ObjectIdentifier
				Value asn1.RawValue
			}
			var err error
			if rest, err = asn1.Unmarshal(rest, &a); err != nil {
				return "", fmt.Errorf("read subject: %w", err)
			}
			a.Value = canonical(a.Value)
			der, err := asn1.Marshal(a)
			if err != nil {
				return "", fmt.Errorf("write subject: %w", err)
			}
			attributes = append(attributes, der...)
		}
		der, err := asn1.Marshal(asn1.RawValue{Class: set.Class, Tag: set.Tag, IsCompound: true, Bytes: attributes})
		if err != nil {
			return "", fmt.Errorf("write subject: %w", err)
		}
		sum.Write(der)
	}
	return fmt.Sprintf("%08x", binary.LittleEndian.Uint32(sum.Sum(nil))), nil
}

// canonical is a text as it is compared; what is no text stays.
func canonical(v asn1.RawValue) asn1.RawValue {
	const visible, universal = 26, 28
	var text string
	switch v.Tag {
	case asn1.TagUTF8String, asn1.TagPrintableString, asn1.TagIA5String, visible:
		text = string(v.Bytes)
	case asn1.TagT61String: // taken for Latin-1
		runes := make([]rune, len(v.Bytes))
		for i, b := range v.Bytes {
			runes[i] = rune(b)
		}
		text = string(runes)
	case asn1.TagBMPString:
		units := make([]uint16, len(v.Bytes)/2)
		for i := range units {
			units[i] = binary.BigEndian.Uint16(v.Bytes[2*i:])
		}
		text = string(utf16.Decode(units))
	case universal:
		runes := make([]rune, len(v.Bytes)/4)
		for i := range runes {
			runes[i] = rune(binary.BigEndian.Uint32(v.Bytes[4*i:]))
		}
		text = string(runes)
	default:
		return v
	}
	const spaces = " \t\n\v\f\r"
	words := strings.FieldsFunc(text, func(c rune) bool { return strings.ContainsRune(spaces, c) })
	lower := bytes.Map(func(c rune) rune {
		if c >= 'A' && c <= 'Z' {
			return c - 'A' + 'a'
		}
		return c
	}, []byte(strings.Join(words, " ")))
	return asn1.RawValue{Tag: asn1.TagUTF8String, Bytes: lower}
}
