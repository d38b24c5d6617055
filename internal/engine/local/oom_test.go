package local

import (
	"strings"
	"testing"
	"time"

	"github.com/opendaytona/daytona/internal/engine"
)

func TestOutOfMemoryIsTold(t *testing.T) {
	told := make(chan int64, 100)
	f := open(t, func(o *Options) { o.OutOfMemory = func(_ string, killed int64) { told <- killed } })
	s := f.create(func(s *engine.Spec) { s.User, s.Resources.Memory = "root", 128<<20 })
	const line = "killed: the sandbox's memory limit of 128 MiB was reached"
	f.has(s.ID, "exec tail /dev/zero", line)
	f.has(s.ID, "exec tail /dev/zero", `"exitCode":137`)
	f.has(s.ID, "tail /dev/zero", line) // what the shell ran last
	for _, other := range []string{"tail /dev/zero; true", "kill -9 $$", "exit 137"} {
		if out, err := f.do(s.ID, other); err != nil || strings.Contains(out, line) {
			t.Errorf("%s: %s %v", other, out, err)
		}
	}
	wait := func() (n int64) {
		t.Helper()
		select {
		case n = <-told:
		case <-time.After(10 * time.Second):
			t.Error("nothing was told")
		}
		return n
	}
	for sum := int64(0); sum < 4 && !t.Failed(); {
		sum += wait()
	}

	// Another server goes on, and tells nothing twice.
	if err := f.Local.Close(); err != nil {
		t.Fatal(err)
	}
	f.reopen()
	f.has(s.ID, "tail /dev/zero", line)
	if n := wait(); n != 1 {
		t.Errorf("%d were killed, 1 should have been told", n)
	}

	// Memory that is nobody's outlives all processes but the first.
	_, _ = f.do(s.ID, "mkdir /tmp/m && mount -t tmpfs -o size=1g tmpfs /tmp/m && dd if=/dev/zero of=/tmp/m/fill bs=4k")
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); {
		go func() { _, _ = f.do(s.ID, "true") }()
		if e := f.exit(s.ID, 100*time.Millisecond); e != nil {
			if !e.OOMKilled {
				t.Errorf("%+v", e)
			}
			return
		}
	}
	t.Fatal("a sandbox whose memory is full of files does not end")
}
