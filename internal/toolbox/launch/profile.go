package launch

import (
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"al.essio.dev/pkg/shellescape"
)

// KeepProfile keeps a file up to date that gives login shells the PATH and the
// variables of commands: /etc/profile sets a PATH of its own, and su - and sudo -i
// begin without variables. It is for the sandbox's user and root alone, since
// variables hold secrets.
func (l *Launcher) KeepProfile(file string) error {
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return fmt.Errorf("keep variables for login shells: %w", err)
	}
	l.Env.observe(func(vars map[string]string) {
		if err := l.writeProfile(file, vars); err != nil {
			slog.Warn("login shells lack the sandbox's variables", "error", err)
		}
	})
	return nil
}

func (l *Launcher) writeProfile(file string, vars map[string]string) error {
	u, err := l.User()
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(file), ".new-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // fails once it is renamed
	_, err = f.WriteString(profile(vars))
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Chmod(f.Name(), 0o400)
	}
	if err == nil {
		err = Own(f.Name(), u)
	}
	if err == nil {
		err = os.Rename(f.Name(), file)
	}
	return err
}

// ofTheLogin are variables that a login itself sets, for whoever logs in.
var ofTheLogin = []string{"HOME", "USER", "LOGNAME", "SHELL", "PWD", "OLDPWD", "SHLVL", "TERM", "IFS", "_"}

var shellName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// profile is a script for any shell. A variable that is there already stays as it
// is, but for PATH, which /etc/profile has just set.
func profile(vars map[string]string) string {
	path := vars["PATH"]
	if path == "" {
		path = defaultPath
	}
	var b strings.Builder
	fmt.Fprintf(&b, "export PATH=%s\n", shellescape.Quote(path))
	for _, name := range slices.Sorted(maps.Keys(vars)) {
		if name == "PATH" || slices.Contains(ofTheLogin, name) || !shellName.MatchString(name) {
			continue
		}
		fmt.Fprintf(&b, "[ -n \"${%s+set}\" ] || export %s=%s\n", name, name, shellescape.Quote(vars[name]))
	}
	return b.String()
}
