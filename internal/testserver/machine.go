//go:build linux

package testserver

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/opendaytona/daytona/internal/engine"
	"github.com/opendaytona/daytona/internal/engine/watch"
	"github.com/opendaytona/daytona/internal/toolbox/boot"
)

// Machine is an engine whose sandboxes are directories of this machine, each
// with the real agent as a process of its own.
type Machine struct {
	dir     string
	toolbox string

	events watch.Hub

	mu     sync.Mutex
	agents map[string]*agent
	fails  error
}

type agent struct {
	process *exec.Cmd
	ended   chan struct{}
}

// FailStarts makes sandboxes fail to start, until it is called with nil.
func (m *Machine) FailStarts(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.fails = err
}

func newMachine(t testing.TB) *Machine {
	t.Helper()
	// Not t.TempDir: a socket's path has 107 bytes at most.
	dir, err := os.MkdirTemp("", "dt")
	must(t, err)
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	program, err := build()
	must(t, err)
	return &Machine{dir: dir, toolbox: program, agents: map[string]*agent{}}
}

// build compiles the agent, once for all tests of a process. The file has no
// name any more when it returns, so nothing is left behind.
var build = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "dt")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "toolbox")
	c := exec.Command("go", "build", "-o", path, "github.com/opendaytona/daytona/cmd/toolbox")
	c.Env = append(environment, "CGO_ENABLED=0")
	if out, err := c.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the agent: %w: %s", err, out)
	}
	if agentFile, err = os.Open(path); err != nil {
		return "", err
	}
	return fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), agentFile.Fd()), nil
})

// environment is that of before a test has moved HOME, where the caches are.
var environment = os.Environ()

// agentFile stays open until the process ends.
var agentFile *os.File

func (m *Machine) at(id string, parts ...string) string {
	return filepath.Join(append([]string{m.dir, id}, parts...)...)
}

// Create is engine.Engine.
func (m *Machine) Create(_ context.Context, s engine.Spec) error {
	if s.From != "" {
		if err := os.MkdirAll(m.at(s.ID), 0o755); err != nil {
			return err
		}
		return copyTree(m.at(s.From, "disk"), m.at(s.ID, "disk"))
	}
	return os.MkdirAll(m.at(s.ID, "disk"), 0o755)
}

// Start is engine.Engine.
func (m *Machine) Start(ctx context.Context, s engine.Spec) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fails != nil {
		return m.fails
	}
	if m.agents[s.ID] != nil {
		return nil
	}
	config, err := json.Marshal(boot.Config{SandboxID: s.ID, User: s.User, WorkDir: m.at(s.ID, "disk"), Env: s.Env, Entrypoint: s.Entrypoint, Version: "test"})
	if err != nil {
		return err
	}
	if err := os.WriteFile(m.at(s.ID, "config"), config, 0o600); err != nil {
		return err
	}
	if err := os.Remove(m.at(s.ID, "s")); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	a := &agent{ended: make(chan struct{}), process: exec.Command(m.toolbox, "serve", "--socket", m.at(s.ID, "s"), "--config", m.at(s.ID, "config"))}
	a.process.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	if err := a.process.Start(); err != nil {
		return err
	}
	go func() {
		defer close(a.ended)
		_ = a.process.Wait() // it is ended by a signal
	}()
	m.agents[s.ID] = a
	for {
		if c, err := net.Dial("unix", m.at(s.ID, "s")); err == nil {
			return c.Close()
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-a.ended:
			return errors.New("the agent ended")
		case <-time.After(2 * time.Millisecond):
		}
	}
}

// Stop is engine.Engine.
func (m *Machine) Stop(_ context.Context, id string, _ time.Duration) error {
	m.mu.Lock()
	a := m.agents[id]
	delete(m.agents, id)
	m.mu.Unlock()
	if a == nil {
		return nil
	}
	if err := a.process.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	<-a.ended
	return nil
}

// Delete is engine.Engine.
func (m *Machine) Delete(ctx context.Context, id string) error {
	return errors.Join(m.Stop(ctx, id, 0), os.RemoveAll(m.at(id)))
}

// Inspect is engine.Engine.
func (m *Machine) Inspect(_ context.Context, id string) (engine.Status, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.agents[id] != nil {
		return engine.Status{ID: id, Phase: engine.PhaseRunning, Booted: true}, nil
	}
	if _, err := os.Stat(m.at(id)); err != nil {
		return engine.Status{}, engine.ErrNotFound
	}
	return engine.Status{ID: id, Phase: engine.PhaseStopped}, nil
}

// List is engine.Engine.
func (m *Machine) List(context.Context) ([]engine.Status, error) { return nil, nil }

// Dial is engine.Engine.
func (m *Machine) Dial(ctx context.Context, id string) (net.Conn, error) {
	m.mu.Lock()
	running := m.agents[id] != nil
	m.mu.Unlock()
	if !running {
		return nil, engine.ErrNotRunning
	}
	var d net.Dialer
	return d.DialContext(ctx, "unix", m.at(id, "s"))
}

// SetNetwork is engine.Engine.
func (*Machine) SetNetwork(context.Context, string, engine.Network) error { return nil }

// Resize is engine.Engine.
func (*Machine) Resize(context.Context, string, engine.Resources) error { return nil }

// Watch is engine.Engine. Nothing ends by itself here.
func (m *Machine) Watch(ctx context.Context) <-chan engine.Event { return m.events.Watch(ctx) }

// Close is engine.Engine.
func (m *Machine) Close() error { return nil }

func (m *Machine) halt() {
	m.mu.Lock()
	var ids []string
	for id := range m.agents {
		ids = append(ids, id)
	}
	m.mu.Unlock()
	for _, id := range ids {
		_ = m.Stop(context.Background(), id, 0)
	}
}
