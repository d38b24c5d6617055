package fault

import (
	"path/filepath"
	"regexp"
	"strings"
)

// HostPaths keeps out of what users are told where files are on the server: errors
// of the system and of libraries name them, and they are nobody's to know who is not
// on the machine. The zero value knows none.
type HostPaths struct{ below *regexp.Regexp }

// NewHostPaths knows all that is in the directories, and themselves.
func NewHostPaths(dirs ...string) HostPaths {
	var names []string
	for _, dir := range dirs {
		names = append(names, regexp.QuoteMeta(filepath.Clean(dir)))
		if real, err := filepath.EvalSymlinks(dir); err == nil {
			names = append(names, regexp.QuoteMeta(real))
		}
	}
	// The end of a path cannot be told from text that follows, but by these.
	return HostPaths{regexp.MustCompile(`(` + strings.Join(names, "|") + `)([^\s"'` + "`" + `<>:;,)\]}]*)`)}
}

// Hide puts the last name of each of the paths in the place of the whole.
func (h HostPaths) Hide(text string) string {
	if h.below == nil {
		return text
	}
	return h.below.ReplaceAllStringFunc(text, func(path string) string {
		rest := h.below.FindStringSubmatch(path)[2]
		if rest != "" && rest != "." && rest[0] != '/' {
			return path // of another name that begins alike
		}
		return "…/" + filepath.Base(path)
	})
}
