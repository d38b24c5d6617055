package desktop

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/opendaytona/daytona/internal/toolbox/wire"
)

// program is one that makes up the desktop. Clients know those that are listed,
// by names that are older than the programs behind them.
type program struct {
	name     string
	file     string // in PATH
	pkg      string // Debian's, that has it
	priority int    // the order in which they start
	listed   bool
	required bool // there is no desktop without; the others keep nothing from starting
	again    bool // it is started again when it has ended
	argv     func(s *session) []string
	ready    func(ctx context.Context, s *session) error // nil: as soon as it runs
}

// catalogue is made at each call: an agent without a desktop keeps nothing of it.
func catalogue() []program {
	return []program{
		{
			name: "dbus", file: "dbus-daemon", pkg: "dbus-daemon", priority: 50, again: true,
			argv: func(s *session) []string {
				return []string{"--session", "--nofork", "--nopidfile", "--address=" + s.env["DBUS_SESSION_BUS_ADDRESS"]}
			},
			ready: func(ctx context.Context, s *session) error {
				return reachable(ctx, "unix", filepath.Join(s.env["XDG_RUNTIME_DIR"], "bus"))
			},
		},
		{
			name: "xvfb", file: "Xvfb", pkg: "xvfb", priority: 100, listed: true, required: true, again: true,
			argv: func(s *session) []string {
				return []string{s.env["DISPLAY"], "-screen", "0", s.resolution, "-noreset", "-ac", "+extension", "RANDR", "-nolisten", "tcp"}
			},
			ready: func(ctx context.Context, s *session) error { return reachable(ctx, "unix", s.socket()) },
		},
		{
			name: "xfce4", file: "openbox", pkg: "openbox", priority: 200, listed: true, required: true, again: true,
			argv:  func(*session) []string { return nil },
			ready: func(ctx context.Context, s *session) error { return s.service.workers.ready(ctx) },
		},
		{
			name: "atspi", file: "/usr/libexec/at-spi-bus-launcher", pkg: "at-spi2-core", priority: 250, listed: true,
			argv: func(*session) []string { return []string{"--launch-immediately", "--a11y=1"} },
		},
		{
			name: "x11vnc", file: "x11vnc", pkg: "x11vnc", priority: 300, listed: true, required: true, again: true,
			argv: func(s *session) []string {
				// The preview is the guard: nobody but the sandbox itself connects.
				return []string{"-display", s.env["DISPLAY"], "-rfbport", strconv.Itoa(s.vncPort), "-localhost", "-nopw", "-shared", "-forever", "-noipv6", "-noxrecord"}
			},
			ready: func(ctx context.Context, s *session) error { return reachable(ctx, "tcp", loopback(s.vncPort)) },
		},
		{
			name: "novnc", file: "websockify", pkg: "novnc", priority: 400, listed: true, required: true, again: true,
			argv: func(s *session) []string {
				return []string{"--web", webRoot, loopback(s.webPort), loopback(s.vncPort)}
			},
			ready: func(ctx context.Context, s *session) error { return reachable(ctx, "tcp", loopback(s.webPort)) },
		},
	}
}

// webRoot is where Debian has noVNC's pages.
const webRoot = "/usr/share/novnc"

func loopback(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

// required is how many programs there must be.
func required() (n int) {
	for _, p := range catalogue() {
		if p.required {
			n++
		}
	}
	return n
}

func listed() (names []string) {
	for _, p := range catalogue() {
		if p.listed {
			names = append(names, p.name)
		}
	}
	return names
}

// Unavailable is the message where the image has no desktop; clients compare it.
const Unavailable = "Computer-use functionality is not available"

// available says what the image lacks.
func (s *Service) available() error {
	var missing []string
	for _, p := range catalogue() {
		if p.required && s.find(p.file) == "" {
			missing = append(missing, p.pkg)
		}
	}
	if _, err := os.Stat(webRoot); err != nil && !slices.Contains(missing, "novnc") {
		missing = append(missing, "novnc")
	}
	if len(missing) == 0 {
		return nil
	}
	err := wire.Errorf(http.StatusServiceUnavailable, wire.Internal, Unavailable)
	err.Details = []string{
		"the sandbox's image has no desktop: use a snapshot of an image with one, such as the desktop and full variants of the default image",
		"Debian packages that are missing: " + strings.Join(missing, " "),
	}
	return err
}

var (
	localDisplay = regexp.MustCompile(`^:([0-9]{1,4})(\.0)?$`)
	resolution   = regexp.MustCompile(`^([1-9][0-9]{1,4})x([1-9][0-9]{1,4})(x24)?$`)
)

// largest is how many pixels a side has at most: Xvfb keeps four bytes for each.
const largest = 8192

// screen is the size of the display as Xvfb takes it.
func screen(setting string) (string, error) {
	if setting == "" {
		return "1024x768x24", nil
	}
	m := resolution.FindStringSubmatch(setting)
	if m != nil {
		w, _ := strconv.Atoi(m[1])
		h, _ := strconv.Atoi(m[2])
		if w <= largest && h <= largest {
			return m[1] + "x" + m[2] + "x24", nil
		}
	}
	return "", wire.Bad("the sandbox's variable VNC_RESOLUTION is %q: it must be a width and a height in pixels, at most %d each, such as 1280x800", setting, largest)
}

// port is a port number of the sandbox's variables.
func (s *Service) port(variable string, otherwise int) (int, error) {
	text := s.launcher.Env.Get(variable)
	if text == "" {
		return otherwise, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1024 || n > 65535 {
		return 0, wire.Bad("the sandbox's variable %s is %q: it must be a port from 1024 to 65535", variable, text)
	}
	return n, nil
}

// reachable waits until something accepts connections there.
func reachable(ctx context.Context, network, address string) error {
	var d net.Dialer
	for pause := 5 * time.Millisecond; ; pause = min(2*pause, 100*time.Millisecond) {
		conn, err := d.DialContext(ctx, network, address)
		if err == nil {
			return conn.Close()
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return errors.Join(fmt.Errorf("nothing listens on %s", address), ctx.Err())
		}
	}
}
