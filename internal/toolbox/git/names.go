package git

import (
	"regexp"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/opendaytona/daytona/internal/toolbox/wire"
)

// name is a branch, remote or revision as git gets it. What begins with a dash
// would be an option, and "@{" stands for other names.
func name(what, text string) (string, error) {
	text = bytesOf(text)
	switch {
	case text == "":
		return "", wire.Bad("%s is missing", what)
	case strings.HasPrefix(text, "-"):
		return "", wire.Bad("%s %q must not begin with a dash", what, text)
	case controls().MatchString(text):
		return "", wire.Bad("%s %q contains a control character", what, text)
	}
	return text, nil
}

// branchName is name for what is no expression either.
func branchName(what, text string) (string, error) {
	text, err := name(what, text)
	if err == nil && strings.Contains(text, "@{") {
		return "", wire.Bad("%s %q contains %q", what, text, "@{")
	}
	return text, err
}

// pathspecs is the standard input by which git gets files. The paths are
// literal: no character in them stands for others.
func pathspecs(files []string) (string, error) {
	if len(files) == 0 {
		return "", wire.Bad("files is empty: name at least one, or \".\" for all")
	}
	var b strings.Builder
	for _, file := range files {
		file = bytesOf(file)
		switch {
		case file == "":
			return "", wire.Bad("files has an empty path: name a file, or \".\" for all")
		case strings.ContainsRune(file, 0):
			return "", wire.Bad("path %q contains a NUL byte", file)
		}
		b.WriteString(file)
		b.WriteByte(0)
	}
	return b.String(), nil
}

// textOf is a name as JSON can have it. One that is not UTF-8 is quoted, as git
// quotes it: "caf\351" with the quotation marks. So is one that would be taken
// for a quoted one, and bytesOf undoes it.
func textOf(name string) string {
	if !needsQuotes(name) {
		return name
	}
	var b strings.Builder
	b.WriteByte('"')
	for i := 0; i < len(name); {
		r, n := utf8.DecodeRuneInString(name[i:])
		switch {
		case r == utf8.RuneError && n == 1:
			c := name[i]
			b.Write([]byte{'\\', '0' + c>>6, '0' + c>>3&7, '0' + c&7})
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			fallthrough
		default:
			b.WriteString(name[i : i+n])
		}
		i += n
	}
	b.WriteByte('"')
	return b.String()
}

// bytesOf is the name that textOf has told.
func bytesOf(text string) string {
	if name, ok := unquote(text); ok && needsQuotes(name) {
		return name
	}
	return text
}

// needsQuotes ends, since what is unquoted is shorter.
func needsQuotes(name string) bool {
	if !utf8.ValidString(name) {
		return true
	}
	inner, ok := unquote(name)
	return ok && needsQuotes(inner)
}

var escapes = map[byte]byte{'a': '\a', 'b': '\b', 't': '\t', 'n': '\n', 'v': '\v', 'f': '\f', 'r': '\r', '"': '"', '\\': '\\'}

// unquote undoes git's quoting of names.
func unquote(text string) (string, bool) {
	if len(text) < 2 || text[0] != '"' || text[len(text)-1] != '"' {
		return "", false
	}
	text = text[1 : len(text)-1]
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		switch {
		case text[i] == '"':
			return "", false
		case text[i] != '\\':
			b.WriteByte(text[i])
			continue
		}
		i++
		if i == len(text) {
			return "", false
		}
		if c, ok := escapes[text[i]]; ok {
			b.WriteByte(c)
			continue
		}
		if i+3 > len(text) {
			return "", false
		}
		n := 0
		for _, c := range []byte(text[i : i+3]) {
			if c < '0' || c > '7' {
				return "", false
			}
			n = n<<3 | int(c-'0')
		}
		if n > 0xff {
			return "", false
		}
		b.WriteByte(byte(n))
		i += 2
	}
	return b.String(), true
}

// lazy compiles a regular expression when it is used first: most sandboxes never
// use any.
func lazy(pattern string) func() *regexp.Regexp {
	return sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(pattern) })
}
