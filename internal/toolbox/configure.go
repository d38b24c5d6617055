package toolbox

import (
	"fmt"
	"net/http"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/opendaytona/daytona/internal/toolbox/launch"
	"github.com/opendaytona/daytona/internal/toolbox/wire"
)

// configure gives a sandbox that was started ahead the name and the variables
// of whoever it became. Who reaches the agent may change both anyhow: it grants
// nothing that a command in the sandbox could not do.
func configure(w http.ResponseWriter, r *http.Request, l *launch.Launcher) error {
	var req struct {
		Hostname string            `json:"hostname"`
		Env      map[string]string `json:"env"`
	}
	if err := wire.Decode(w, r, &req); err != nil {
		return err
	}
	if err := l.Env.Configure(req.Env); err != nil {
		return err
	}
	if req.Hostname != "" {
		if err := rename(req.Hostname); err != nil {
			return err
		}
	}
	wire.JSON(w, http.StatusOK, map[string]string{"message": "configured"})
	return nil
}

// rename changes the host name where the engine has written it.
func rename(name string) error {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return fmt.Errorf("read the host name: %w", err)
	}
	before := unix.ByteSliceToString(u.Nodename[:])
	if before == name {
		return nil
	}
	if err := unix.Sethostname([]byte(name)); err != nil {
		return fmt.Errorf("set the host name: %w", err)
	}
	hosts, err := os.ReadFile("/etc/hosts")
	if err == nil {
		text := strings.ReplaceAll(string(hosts), "127.0.1.1\t"+before+"\n", "127.0.1.1\t"+name+"\n")
		err = os.WriteFile("/etc/hosts", []byte(text), 0o644)
	}
	if err == nil {
		err = os.WriteFile("/etc/hostname", []byte(name+"\n"), 0o644)
	}
	if err != nil {
		return fmt.Errorf("write the host name: %w", err)
	}
	return nil
}
