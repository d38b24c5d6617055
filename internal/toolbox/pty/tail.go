package pty

import (
	"bytes"
	"slices"
	"strings"
	"unicode/utf8"
)

// tail makes of the end of an output what is shown to a viewer that comes later.
// It begins with a line, unless it is all there was, and asks nothing: the
// viewer's terminal would answer a second time, and programs take the answers for
// what somebody types.
func tail(p []byte, all bool) []byte {
	if !all {
		if i := bytes.IndexByte(p, '\n'); i >= 0 {
			p = p[i+1:]
		} else if i := slices.IndexFunc(p, utf8.RuneStart); i >= 0 {
			p = p[i:]
		}
	}
	const escape, enquiry = 0x1b, 0x05
	shown := p[:0] // never ahead of what is read
	for len(p) > 0 {
		n := 1
		if p[0] == escape {
			n = sequence(p)
		}
		if asks := p[0] == enquiry || n > 1 && isQuery(p[1:n]); !asks {
			shown = append(shown, p[:n]...)
		}
		p = p[n:]
	}
	return shown
}

// sequence is the length of the control sequence (ECMA-48) that p begins with, or 1
// when p ends within it.
func sequence(p []byte) int {
	if len(p) < 2 {
		return 1
	}
	switch p[1] {
	case '[':
		for i := 2; i < len(p); i++ {
			if c := p[i]; c >= 0x40 && c <= 0x7e {
				return i + 1
			} else if c < 0x20 || c > 0x7e {
				return 1
			}
		}
		return 1
	case ']', 'P', '_':
		for i := 2; i < len(p); i++ {
			switch {
			case p[i] == 0x07 && p[1] == ']':
				return i + 1
			case p[i] == 0x1b && i+1 < len(p) && p[i+1] == '\\':
				return i + 2
			case p[i] == 0x1b, p[i] == 0x18, p[i] == 0x1a:
				return 1
			}
		}
		return 1
	}
	return 2
}

// isQuery tells whether terminals answer the control sequence s, which is without
// its ESC.
func isQuery(s []byte) bool {
	kind, text := s[0], string(s[1:])
	switch kind {
	case 'Z': // DECID
		return true
	case '[':
		return isCSIQuery(text[:len(text)-1], text[len(text)-1])
	case ']': // colours and the clipboard: a parameter "?"
		text = strings.TrimSuffix(strings.TrimSuffix(text, "\a"), "\x1b\\")
		return slices.Contains(strings.Split(text, ";"), "?")
	case 'P': // DECRQSS, XTGETTCAP
		return strings.HasPrefix(text, "$q") || strings.HasPrefix(text, "+q")
	case '_': // kitty's graphics
		return strings.HasPrefix(text, "G") && strings.Contains(text, "a=q")
	}
	return false
}

func isCSIQuery(parameters string, final byte) bool {
	private := strings.HasPrefix(parameters, "?")
	switch final {
	case 'c': // DA
		return true
	case 'n': // DSR
		return !strings.HasPrefix(parameters, ">")
	case 'p': // DECRQM
		return strings.HasSuffix(parameters, "$")
	case 'q': // XTVERSION
		return strings.HasPrefix(parameters, ">")
	case 'm', 'u', 'S': // XTQMODKEYS, kitty's keyboard, XTSMGRAPHICS
		return private
	case 'x': // DECREQTPARM
		return !strings.ContainsAny(parameters, "$*")
	case 'y': // DECRQCRA
		return strings.HasSuffix(parameters, "*")
	case 't': // XTWINOPS that report
		first, _, _ := strings.Cut(parameters, ";")
		return slices.Contains([]string{"11", "13", "14", "15", "16", "18", "19", "20", "21"}, first)
	}
	return false
}
