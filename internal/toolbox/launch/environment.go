package launch

import (
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/opendaytona/daytona/internal/toolbox/wire"
)

// Environment holds the variables of every process that is started from now on.
type Environment struct {
	mu       sync.Mutex
	vars     map[string]string
	observer func(map[string]string) // is told of vars when they have changed
}

// NewEnvironment begins with vars.
func NewEnvironment(vars map[string]string) *Environment {
	e := &Environment{vars: map[string]string{}}
	maps.Copy(e.vars, vars)
	return e
}

// Configure sets what the sandbox was made with. Names are those that Linux allows:
// what a process can have is no reason not to start a sandbox.
func (e *Environment) Configure(set map[string]string) error {
	return e.update(set, nil, "", checkVariable)
}

// Update removes the names in unset and those whose value begins with
// unsetPrefix (when it is not empty) and then sets the new ones.
func (e *Environment) Update(set map[string]string, unset []string, unsetPrefix string) error {
	return e.update(set, unset, unsetPrefix, checkShellVariable)
}

func (e *Environment) update(set map[string]string, unset []string, unsetPrefix string, check func(name, value string) error) error {
	for name, value := range set {
		if err := check(name, value); err != nil {
			return err
		}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, name := range unset {
		delete(e.vars, name)
	}
	if unsetPrefix != "" {
		maps.DeleteFunc(e.vars, func(_, value string) bool { return strings.HasPrefix(value, unsetPrefix) })
	}
	maps.Copy(e.vars, set)
	if e.observer != nil {
		e.observer(e.vars)
	}
	return nil
}

// observe tells f of the variables, now and whenever they have changed.
func (e *Environment) observe(f func(map[string]string)) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.observer = f
	f(e.vars)
}

// Get is the value of a variable, "" when it is not set.
func (e *Environment) Get(name string) string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.vars[name]
}

// list is the environment of one process: defaults, overridden by what of e is
// not without, overridden by extra.
func (e *Environment) list(defaults, extra map[string]string, without func(string) bool) ([]string, error) {
	for name, value := range extra {
		if err := checkShellVariable(name, value); err != nil {
			return nil, err
		}
	}
	all := defaults
	e.mu.Lock()
	maps.Copy(all, e.vars)
	e.mu.Unlock()
	if without != nil {
		maps.DeleteFunc(all, func(name, _ string) bool { return without(name) })
	}
	maps.Copy(all, extra)
	list := make([]string, 0, len(all))
	for _, name := range slices.Sorted(maps.Keys(all)) {
		list = append(list, name+"="+all[name])
	}
	return list, nil
}

// checkShellVariable takes the names that shells have, as the API does.
func checkShellVariable(name, value string) error {
	if name != "" && !shellName.MatchString(name) {
		return wire.Bad("environment variable name %q must consist of letters, digits and '_', and not begin with a digit", name)
	}
	return checkVariable(name, value)
}

func checkVariable(name, value string) error {
	switch {
	case name == "":
		return wire.Bad("an environment variable has no name")
	case strings.ContainsAny(name, "=\x00"):
		return wire.Bad("environment variable name %q contains '=' or a NUL byte", name)
	case strings.ContainsRune(value, 0):
		return wire.Bad("the value of environment variable %s contains a NUL byte", name)
	}
	return nil
}
