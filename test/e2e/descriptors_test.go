package e2e

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/opendaytona/daytona/test/serve"
)

// The bounds of connections leave descriptors for everything else, but whatever
// takes these, the server answers again afterwards.
func TestTheServerAnswersAgainAfterItsDescriptorsRanOut(t *testing.T) {
	serve.LeavesNothing(t)
	s := serve.New(t)
	pid := s.Process.Process.Pid
	open, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	if err != nil {
		t.Fatal(err)
	}
	var before unix.Rlimit
	low := unix.Rlimit{Cur: uint64(len(open)) + 20}
	if err := unix.Prlimit(pid, unix.RLIMIT_NOFILE, nil, &before); err != nil {
		t.Fatal(err)
	}
	low.Max = before.Max
	if err := unix.Prlimit(pid, unix.RLIMIT_NOFILE, &low, nil); err != nil {
		t.Fatal(err)
	}
	var idle []net.Conn
	for range 100 {
		conn, err := net.DialTimeout("tcp", s.Listen, serve.Slow(5*time.Second))
		if err != nil {
			t.Fatal(err)
		}
		// Half a request, without a key.
		_, _ = fmt.Fprint(conn, "POST /api/sandbox HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n")
		idle = append(idle, conn)
	}
	ask := func() error {
		client := http.Client{Timeout: serve.Slow(2 * time.Second), Transport: &http.Transport{DisableKeepAlives: true}}
		answer, err := client.Get("http://" + s.Listen + "/api/health")
		if err == nil {
			answer.Body.Close()
		}
		return err
	}
	if err := ask(); err == nil {
		t.Fatal("it answers: the descriptors did not run out")
	}
	for _, conn := range idle {
		conn.Close()
	}
	s.Eventually("it answers again", ask)
}
