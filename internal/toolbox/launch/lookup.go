package launch

import (
	"cmp"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/opendaytona/daytona/internal/toolbox/wire"
)

// Shell finds the shell that runs command lines: the first of zsh, bash and sh.
func (l *Launcher) Shell() (string, error) {
	if path := l.Find("zsh", "bash", "sh"); path != "" {
		return path, nil
	}
	return "", wire.Bad("this sandbox has no shell: commands need zsh, bash or sh in its image")
}

// InteractiveShell finds the shell of a terminal with these variables: zsh or bash,
// else the one that SHELL or the user's entry in /etc/passwd names, else sh.
func (l *Launcher) InteractiveShell(vars map[string]string) (string, error) {
	if path := l.Find("zsh", "bash"); path != "" {
		return path, nil
	}
	own := cmp.Or(vars["SHELL"], l.Env.Get("SHELL"))
	if u, err := l.User(); own == "" && err == nil {
		own = u.Shell
	}
	refuses := slices.Contains([]string{"nologin", "false"}, filepath.Base(own))
	if filepath.IsAbs(own) && !refuses && isProgram(own) {
		return own, nil
	}
	return l.Shell()
}

// WellKnownPath is where programs are whatever an image says in its PATH: where
// Linux has them, and busybox in images that add it to nothing else.
const WellKnownPath = defaultPath + ":/busybox"

// Find is the path of the first of names that is in PATH or, when none is, in
// one of the usual directories; "" when none is there either. An image's PATH may
// name its own programs only.
func (l *Launcher) Find(names ...string) string {
	for _, path := range []string{l.Env.Get("PATH"), WellKnownPath} {
		for _, name := range names {
			if found, err := lookPath(name, path, "/"); err == nil {
				return found
			}
		}
	}
	return ""
}

// lookPath finds a program as execvp(3) would in dir.
func lookPath(name, path, dir string) (string, error) {
	if strings.Contains(name, "/") {
		if !filepath.IsAbs(name) {
			name = filepath.Join(dir, name)
		}
		return name, nil
	}
	for _, d := range filepath.SplitList(path) {
		if !filepath.IsAbs(d) {
			d = filepath.Join(dir, d)
		}
		file := filepath.Join(d, name)
		if isProgram(file) {
			return file, nil
		}
	}
	return "", wire.Bad("program %q is not in the sandbox's PATH (%s)", name, path)
}

func isProgram(file string) bool {
	info, err := os.Stat(file)
	return err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0
}

func pathOf(env []string) string {
	for _, kv := range env {
		if path, ok := strings.CutPrefix(kv, "PATH="); ok {
			return path
		}
	}
	return ""
}
