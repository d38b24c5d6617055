package wire

import (
	"bufio"
	"io"
	"unicode/utf8"
)

const hex = "0123456789abcdef"

// Text writes the bytes of r to w as one JSON string, in constant memory.
// Bytes that are not UTF-8 become U+FFFD, one for each.
func Text(w io.Writer, r io.Reader) error {
	const size = 32 << 10
	out := bufio.NewWriterSize(w, size)
	in := bufio.NewReaderSize(r, size)
	_ = out.WriteByte('"') // bufio keeps its first error until Flush
	for {
		chunk, err := in.Peek(1)
		if len(chunk) > 0 {
			chunk, _ = in.Peek(in.Buffered())
			n := writeEscaped(out, chunk, false)
			if n == 0 { // an unfinished rune: get the rest of it
				chunk, _ = in.Peek(utf8.UTFMax)
				n = writeEscaped(out, chunk, len(chunk) < utf8.UTFMax)
			}
			_, _ = in.Discard(n)
			continue
		}
		if err == io.EOF {
			break
		}
		return err
	}
	_ = out.WriteByte('"')
	return out.Flush()
}

// writeEscaped writes p and tells how much of it was used: all, except for an
// unfinished rune at its end unless last is set.
func writeEscaped(out *bufio.Writer, p []byte, last bool) int {
	plain := 0 // start of the bytes that need no escape
	i := 0
	for i < len(p) {
		c := p[i]
		if c < utf8.RuneSelf {
			if c >= ' ' && c != '"' && c != '\\' && c != 0x7f {
				i++
				continue
			}
			_, _ = out.Write(p[plain:i])
			switch c {
			case '"', '\\':
				_, _ = out.Write([]byte{'\\', c})
			case '\n':
				_, _ = out.WriteString(`\n`)
			case '\r':
				_, _ = out.WriteString(`\r`)
			case '\t':
				_, _ = out.WriteString(`\t`)
			default:
				_, _ = out.Write([]byte{'\\', 'u', '0', '0', hex[c>>4], hex[c&15]})
			}
			i++
			plain = i
			continue
		}
		if !last && !utf8.FullRune(p[i:]) {
			break
		}
		r, n := utf8.DecodeRune(p[i:])
		if r == utf8.RuneError && n == 1 {
			_, _ = out.Write(p[plain:i])
			_, _ = out.WriteString(`\ufffd`)
			plain = i + 1
		}
		i += n
	}
	_, _ = out.Write(p[plain:i])
	return i
}

// Unfinished is how many bytes at the end of p begin a character.
func Unfinished(p []byte) int {
	for n := 1; n < utf8.UTFMax && n <= len(p); n++ {
		if tail := p[len(p)-n:]; utf8.RuneStart(tail[0]) {
			if utf8.FullRune(tail) {
				return 0
			}
			return n
		}
	}
	return 0
}
