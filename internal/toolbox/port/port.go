// Package port tells which TCP ports of the sandbox are listened on, and
// connects to them (connect.go). It reads what the kernel shows of the sandbox's
// own network namespace.
package port

import (
	"bufio"
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/opendaytona/daytona/internal/toolbox/wire"
)

// Register adds the routes of the package.
func Register(mux *http.ServeMux) {
	mux.Handle("GET /port", wire.Handler(list))
	mux.Handle("GET /port/{port}/in-use", wire.Handler(inUse))
	mux.Handle("GET /port/{port}/connect", wire.Handler(connect))
}

func list(w http.ResponseWriter, _ *http.Request) error {
	ports, err := listening()
	if err != nil {
		return err
	}
	wire.JSON(w, http.StatusOK, map[string][]int{"ports": ports})
	return nil
}

func inUse(w http.ResponseWriter, r *http.Request) error {
	n, err := number(r)
	if err != nil {
		return err
	}
	ports, err := listening()
	if err != nil {
		return err
	}
	wire.JSON(w, http.StatusOK, map[string]bool{"isInUse": slices.Contains(ports, n)})
	return nil
}

// number is the port that the path names.
func number(r *http.Request) (int, error) {
	n, err := strconv.Atoi(r.PathValue("port"))
	if err != nil || n < 1 || n > 65535 {
		return 0, wire.Bad("port must be a number from 1 to 65535, not %q", r.PathValue("port"))
	}
	return n, nil
}

// listening returns the ports in order.
func listening() ([]int, error) {
	ports := []int{}
	for _, table := range []string{"/proc/self/net/tcp", "/proc/self/net/tcp6"} {
		f, err := os.Open(table)
		if errors.Is(err, os.ErrNotExist) {
			continue // a kernel without IPv6
		}
		if err != nil {
			return nil, fmt.Errorf("list ports: %w", err)
		}
		ports = append(ports, parse(bufio.NewScanner(f))...)
		f.Close()
	}
	slices.Sort(ports)
	return slices.Compact(ports), nil
}

// parse reads the kernel's table (Documentation/networking/proc_net_tcp.rst).
func parse(lines *bufio.Scanner) []int {
	const listen = "0A" // TCP_LISTEN
	var ports []int
	for lines.Scan() {
		f := strings.Fields(lines.Text())
		if len(f) < 4 || f[3] != listen {
			continue
		}
		_, hex, _ := strings.Cut(f[1], ":")
		if n, err := strconv.ParseUint(hex, 16, 16); err == nil {
			ports = append(ports, int(n))
		}
	}
	return ports
}
