package server

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/opendaytona/daytona/internal/config"

	"github.com/opendaytona/daytona/internal/objectstore"
)

// asCommand makes the test's own binary the command.
const asCommand = "SERVER_TEST_RUNS_THE_COMMAND"

func TestMain(m *testing.M) {
	objectstore.RunEndpoint()
	if os.Getenv(asCommand) == "" {
		os.Exit(m.Run())
	}
	c := Command("test")
	if err := c.ExecuteContext(context.Background()); err != nil {
		os.Exit(1) // cobra has printed it
	}
}

// command prepares `daytona server args…` in a process of its own.
func command(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	c := exec.CommandContext(ctx, self, args...)
	c.Env = append(os.Environ(), asCommand+"=1")
	return c
}

func TestTheCommandServesUntilItIsSignalled(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Fatal("this test needs root")
	}
	data := filepath.Join(t.TempDir(), "data")
	settings := []string{"--data-dir", data, "--listen", "127.0.0.1:0", "--default-image", "none", "--disk-size", "1GiB", "--network-slots", "1"}
	notified, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(t.TempDir(), "n"), Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer notified.Close()
	said := make(chan string, 4)
	go func() {
		for buffer := make([]byte, 64); ; {
			n, err := notified.Read(buffer)
			if err != nil {
				close(said)
				return
			}
			said <- string(buffer[:n])
		}
	}()
	t.Cleanup(func() {
		if out, err := command(t, append([]string{"purge", "--data"}, settings...)...).CombinedOutput(); err != nil {
			t.Errorf("purge: %v: %s", err, out)
		}
		if gone, err := config.Missing(data); !gone {
			t.Errorf("the data is still there: %v", err)
		}
	})

	for round := range 2 {
		c := command(t, settings...)
		c.Env = append(c.Env, "NOTIFY_SOCKET="+notified.LocalAddr().String())
		var stdout, log bytes.Buffer
		c.Stdout = &stdout
		stderr, err := c.StderrPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		read := make(chan error, 1)
		go func() {
			_, err := io.Copy(&log, bufio.NewReader(stderr))
			read <- err
		}()
		expect(t, said, "READY=1")
		if err := c.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		expect(t, said, "STOPPING=1")
		<-read
		if err := c.Wait(); err != nil {
			t.Fatalf("start %d: %v\n%s", round, err, &log)
		}
		// Both are the journal of a service.
		kept, err := config.ReadCredentials(filepath.Join(data, config.CredentialsName))
		if err != nil || kept.APIKey == "" {
			t.Fatalf("start %d kept no key: %v", round, err)
		}
		if stdout.Len() > 0 || regexp.MustCompile(`dtn_[0-9a-zA-Z]`).MatchString(log.String()) || strings.Contains(log.String(), kept.APIKey) {
			t.Errorf("start %d printed %q, or logged a key:\n%s", round, &stdout, &log)
		}
		if told := strings.Contains(log.String(), "daytona env"); told != (round == 0) {
			t.Errorf("start %d: the log tells how to read the key: %t", round, told)
		}
		if !strings.Contains(log.String(), "terminated") {
			t.Errorf("the log does not say why the server ended:\n%s", &log)
		}
	}
}

// expect waits until the service manager is told want; before that, only that the
// server recovers.
func expect(t *testing.T, said <-chan string, want string) {
	t.Helper()
	for {
		select {
		case got := <-said:
			first, _, _ := strings.Cut(got, "\n")
			if strings.HasPrefix(first, "STATUS=recovering") {
				continue
			}
			if first != want {
				t.Fatalf("the service manager was told %q, want %q", got, want)
			}
			return
		case <-time.After(30 * time.Second):
			t.Fatalf("the service manager was not told %q", want)
		}
	}
}

func TestWithoutRootItSaysWhatIsMissing(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Fatal("this test needs root")
	}
	self, err := os.Open("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	defer self.Close()
	for _, args := range [][]string{{}, {"check"}} {
		c := command(t, append(args, "--data-dir", "/var/lib/daytona-test-nobody")...)
		// Nobody gets at the binary's directory, but may run what it is given.
		c.Path, c.ExtraFiles = "/proc/self/fd/3", []*os.File{self}
		c.Dir = "/"
		c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
		out, err := c.CombinedOutput()
		if err == nil {
			t.Errorf("%v as nobody succeeded: %s", args, out)
		}
		if !strings.Contains(string(out), "root") || strings.Contains(string(out), "Usage:") {
			t.Errorf("%v as nobody said: %s", args, out)
		}
	}
}

func TestTheCheckOfThisMachineListsRequirements(t *testing.T) {
	out, err := command(t, "check", "--data-dir", filepath.Join(t.TempDir(), "data")).CombinedOutput()
	if err != nil {
		t.Errorf("%v: %s", err, out)
	}
	for _, what := range []string{"root", "kernel", "btrfs", "nftables", "data directory"} {
		if !strings.Contains(string(out), what) {
			t.Errorf("the list lacks %s:\n%s", what, out)
		}
	}
}
