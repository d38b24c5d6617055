package local

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/opendaytona/daytona/internal/durable"
	"github.com/opendaytona/daytona/internal/engine/local/instance"
)

// runtimeDirFile, in the data directory, names the runtime directory that its
// sandboxes were last started with: they hold what is in it until they stop.
const runtimeDirFile = "runtime-dir"

const instancesDir = "instances"

// refuseMove fails while sandboxes of the data directory run with another runtime
// directory. This engine would not see them, would start each a second time on the
// same disk, and could not end the first.
func (l *Local) refuseMove() error {
	before, err := l.runtimeDirBefore()
	if err != nil {
		return err
	}
	is, err := sameDir(before, l.RuntimeDir)
	if err != nil || is {
		return err
	}
	claims := filepath.Join(before, instancesDir)
	index, there, err := instance.Find(claims, l.DataDir)
	if err != nil || !there {
		return err
	}
	if inUse(index) {
		return fmt.Errorf("sandboxes of data directory %s run with runtime directory %s: start the server with --runtime-dir %s as before; to change it, stop all sandboxes, end the server, and start it with the other one", l.DataDir, before, before)
	}
	// Nothing runs on what is there.
	if err := os.RemoveAll(instanceDir(before, index)); err != nil {
		return fmt.Errorf("remove the former runtime directory: %w", err)
	}
	return instance.Forget(claims, l.DataDir)
}

// runtimeDirBefore is what the last engine on the data directory was opened with,
// as far as is known.
func (l *Local) runtimeDirBefore() (string, error) {
	text, err := os.ReadFile(filepath.Join(l.DataDir, runtimeDirFile))
	if errors.Is(err, fs.ErrNotExist) {
		return DefaultRuntimeDir, nil
	}
	if err != nil {
		return "", fmt.Errorf("read the former runtime directory: %w", err)
	}
	return strings.TrimSpace(string(text)), nil
}

// rememberRuntimeDir is for the next engine.
func (l *Local) rememberRuntimeDir() error {
	// Of a check that was killed, somebody may have removed the directory.
	err := durable.MkdirAll(l.DataDir, 0o711)
	if err == nil {
		err = durable.WriteFile(filepath.Join(l.DataDir, runtimeDirFile), []byte(l.RuntimeDir+"\n"), 0o600)
	}
	if err != nil {
		return fmt.Errorf("remember the runtime directory: %w", err)
	}
	return nil
}

// sameDir reports whether both names lead to one directory. One that is not there is
// no other's.
func sameDir(a, b string) (bool, error) {
	if a == b {
		return true, nil
	}
	var infos []os.FileInfo
	for _, path := range []string{a, b} {
		info, err := os.Stat(path)
		if errors.Is(err, fs.ErrNotExist) {
			return false, nil
		}
		if err != nil {
			return false, err
		}
		infos = append(infos, info)
	}
	return os.SameFile(infos[0], infos[1]), nil
}
