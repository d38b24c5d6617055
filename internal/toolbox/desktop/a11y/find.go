package a11y

import (
	"regexp"
	"slices"
	"strings"

	"github.com/opendaytona/daytona/internal/toolbox/wire"
)

// filter is what a node must be to be found.
type filter struct {
	Role      string   `json:"role"`
	Name      string   `json:"name"`
	NameMatch string   `json:"nameMatch"`
	States    []string `json:"states"`
}

// matcher checks the filter and makes a function of it.
func (f filter) matcher() (func(*Node) bool, error) {
	named, err := f.named()
	if err != nil {
		return nil, err
	}
	role := plainRole(f.Role)
	states := make([]string, len(f.States))
	for i, s := range f.States {
		states[i] = snake(s)
		if !slices.Contains(allStates[:], states[i]) {
			return nil, wire.Bad("there is no state %.80q: use those that nodes have, such as focused, showing or checked", s)
		}
	}
	return func(n *Node) bool {
		if f.Role != "" && plainRole(n.Role) != role || !named(n.Name) {
			return false
		}
		for _, s := range states {
			if !slices.Contains(n.States, s) {
				return false
			}
		}
		return true
	}, nil
}

func (f filter) named() (func(string) bool, error) {
	const maxExpression = 4096
	switch f.NameMatch {
	case "", "substring", "exact", "regex":
	default:
		return nil, wire.Bad("there is no nameMatch %.80q: use substring, exact or regex", f.NameMatch)
	}
	switch {
	case f.Name == "":
		return func(string) bool { return true }, nil
	case f.NameMatch == "exact":
		return func(name string) bool { return name == f.Name }, nil
	case f.NameMatch != "regex":
		return func(name string) bool { return strings.Contains(name, f.Name) }, nil
	case len(f.Name) > maxExpression:
		return nil, wire.Bad("the regular expression is longer than %d bytes", maxExpression)
	}
	re, err := regexp.Compile(f.Name)
	if err != nil {
		return nil, wire.Bad("name is not a regular expression: %v", err)
	}
	return re.MatchString, nil
}

// plainRole makes names of the same role equal: AT-SPI 2.51 calls a push button a
// button, and clients write blanks as they write states.
func plainRole(role string) string {
	role = strings.Map(func(r rune) rune {
		if r == '_' || r == '-' {
			return ' '
		}
		return r
	}, strings.ToLower(role))
	if role == "button" {
		return "push button"
	}
	return role
}

// findLimit is how many nodes are found at most.
func findLimit(asked int) (int, error) {
	const usual, most = 500, 5000
	switch {
	case asked < 0:
		return 0, wire.Bad("limit must be positive, or 0 for %d", usual)
	case asked == 0:
		return usual, nil
	}
	return min(asked, most), nil
}
