// Package toolbox is the agent: the first process of every sandbox, which
// collects orphans, runs the entrypoint and serves the toolbox API on a socket
// that the engine hands it. Each room below it has one subject (fs, process,
// session, pty, port, metrics, desktop); launch knows how processes are run and
// proc runs them; rights touches files as the sandbox's user; upgrade accepts
// WebSockets; cgroup reads the sandbox's limits and view shows them to programs.
// It is a small static program: it imports the standard library, golang.org/x/sys
// and few small libraries, and nothing of the server. What the desktop needs more
// is used only in a process of its own (package desktop).
// The contract with the engine is package boot.
package toolbox
