package main

import (
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/opendaytona/daytona/internal/toolbox/boot"
)

func descriptors(t *testing.T, s *sandbox) int {
	t.Helper()
	n, err := strconv.Atoi(strings.TrimSpace(s.execute("ls /proc/1/fd | wc -l").Result))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestASessionOfManyCommandsHoldsNeitherDescriptorsNorAllOfThem(t *testing.T) {
	s := startSandbox(t, boot.Config{})
	if a := s.call("POST", "/process/session", map[string]string{"sessionId": "s"}); a.status != 201 {
		t.Fatalf("%+v", a)
	}
	exec := func(command string) answer {
		return s.call("POST", "/process/session/s/exec", map[string]any{"command": command})
	}
	first := exec("echo first")
	before := descriptors(t, s)
	const many = 1100
	last := first
	for i := range many {
		if last = exec("echo " + strconv.Itoa(i)); last.status != 200 {
			t.Fatalf("%d: %+v", i, last)
		}
	}
	if after := descriptors(t, s); after > before+5 {
		t.Errorf("%d descriptors after %d commands, %d before", after, many, before)
	}
	if a := s.call("GET", "/process/session/s", nil); len(a.Commands) < 1000 || len(a.Commands) > 1001 {
		t.Errorf("%d commands are remembered", len(a.Commands))
	}
	if logs, _ := os.ReadDir(s.run + "/.daytona-toolbox/logs"); len(logs) > 1001 {
		t.Errorf("%d logs are kept", len(logs))
	}
	if a := s.call("GET", "/process/session/s/command/"+first.CmdID+"/logs", nil); a.status != 404 || a.Code != "PROCESS_NOT_FOUND" {
		t.Errorf("the first: %+v", a)
	}
	if a := s.call("GET", "/process/session/s/command/"+last.CmdID+"/logs", nil); a.Output != strconv.Itoa(many-1)+"\n" {
		t.Errorf("the last: %+v", a)
	}
}

func TestASessionTakesSoManyCommandsAtOnce(t *testing.T) {
	s := startSandbox(t, boot.Config{})
	s.call("POST", "/process/session", map[string]string{"sessionId": "s"})
	exec := func(command string) answer {
		return s.call("POST", "/process/session/s/exec", map[string]any{"command": command, "runAsync": true})
	}
	exec("sleep 1000")
	before := descriptors(t, s)
	for range 300 {
		if a := exec("true"); a.status == 409 && strings.Contains(a.Message, "have not ended") {
			if n := descriptors(t, s); n < before+255 {
				t.Errorf("refused with %d descriptors, %d before", n, before)
			}
			if a := s.call("DELETE", "/process/session/s", nil); a.status != 204 {
				t.Errorf("%+v", a)
			}
			if n := descriptors(t, s); n > before {
				t.Errorf("%d descriptors are left, %d before", n, before)
			}
			return
		} else if a.status != 202 {
			t.Fatalf("%+v", a)
		}
	}
	t.Error("300 commands wait")
}

func TestABackgroundProcessAddsToTheLogOfACommandThatHasEnded(t *testing.T) {
	s := startSandbox(t, boot.Config{})
	s.call("POST", "/process/session", map[string]string{"sessionId": "s"})
	a := s.call("POST", "/process/session/s/exec", map[string]any{"command": "(sleep 0.5; echo later) & echo now"})
	if a.Output != "now\n" {
		t.Fatalf("%+v", a)
	}
	s.waitFor("the later output", func() bool {
		return s.call("GET", "/process/session/s/command/"+a.CmdID+"/logs", nil).Output == "now\nlater\n"
	})
}

func TestLogsComeAsTextToWhoAsksForIt(t *testing.T) {
	s := startSandbox(t, boot.Config{Entrypoint: []string{"echo", "entry"}})
	s.call("POST", "/process/session", map[string]string{"sessionId": "s"})
	id := s.call("POST", "/process/session/s/exec", map[string]any{"command": "echo out; sleep 0.1; echo err >&2"}).CmdID
	for _, path := range []string{"/process/session/s/command/" + id + "/logs", "/process/session/entrypoint/logs"} {
		for _, c := range []struct{ accept, sdk, kind, out, err string }{
			{"text/plain", "", "text/plain; charset=utf-8", "out\n", "err\n"},
			{"text/plain;q=0.9", "", "text/plain; charset=utf-8", "out\n", "err\n"},
			{"text/plain", "0.161.0", "text/plain; charset=utf-8", "\x01\x01\x01out\n", "\x02\x02\x02err\n"},
			{"application/json", "0.226.1", "application/json; charset=utf-8", "", ""},
			{"text/plain, application/json", "", "application/json; charset=utf-8", "", ""},
			{"*/*", "", "application/json; charset=utf-8", "", ""},
		} {
			r, err := http.NewRequest("GET", "http://agent"+path, nil)
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Accept", c.accept)
			if c.sdk != "" {
				r.Header.Set("X-Daytona-SDK-Version", c.sdk)
			}
			want := c.out + c.err
			if strings.Contains(path, "entrypoint") {
				want = strings.ReplaceAll(c.out, "out", "entry")
			}
			var body string
			var kind string
			s.waitFor("the log", func() bool {
				res, err := s.client.Do(r)
				if err != nil {
					t.Fatal(err)
				}
				defer res.Body.Close()
				b, err := io.ReadAll(res.Body)
				body, kind = string(b), res.Header.Get("Content-Type")
				return err == nil && len(b) > 0
			})
			if kind != c.kind || want != "" && body != want {
				t.Errorf("%s, Accept %q, SDK %q: %q %q", path, c.accept, c.sdk, kind, body)
			}
		}
	}
}
