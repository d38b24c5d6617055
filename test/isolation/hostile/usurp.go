package main

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// usurp answers in place of the sandbox's agent: it takes the socket that the
// agent listens at, stops the agent, and redirects all requests to the URL.
func usurp(url string) {
	stopFirst()
	l, err := takeListener(1)
	if err != nil {
		fatal(err.Error())
	}
	server := http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Location", url)
		w.Header().Set("Clear-Site-Data", `"*"`)
		w.WriteHeader(http.StatusTemporaryRedirect)
	})}
	fatal(server.Serve(l).Error())
}

// takeListener duplicates the listening socket of a process, and ends the
// connections that the process has.
func takeListener(pid int) (l net.Listener, err error) {
	process, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return nil, fmt.Errorf("open process %d: %w", pid, err)
	}
	entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		number, err := strconv.Atoi(e.Name())
		if err != nil {
			return nil, err
		}
		fd, err := unix.PidfdGetfd(process, number, 0)
		if err != nil {
			return nil, fmt.Errorf("take descriptor %d: %w", number, err)
		}
		listens, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ACCEPTCONN)
		switch {
		case err != nil: // no socket
		case listens == 0:
			_ = unix.Shutdown(fd, unix.SHUT_RDWR)
		default:
			if l, err = net.FileListener(os.NewFile(uintptr(fd), "listener")); err != nil {
				return nil, err
			}
			continue
		}
		unix.Close(fd)
	}
	if l == nil {
		return nil, fmt.Errorf("process %d listens at nothing", pid)
	}
	return l, nil
}
