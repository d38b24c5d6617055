package local

import (
	"bytes"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/opendaytona/daytona/internal/engine"
)

// upload sends files to the agent by the route, as a form with these parts.
func (f *fixture) upload(id, route string, parts map[string]string) (status int, answer string) {
	f.t.Helper()
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	for _, suffix := range []string{"path", "file"} { // a path comes before its file
		for name, content := range parts {
			if !strings.HasSuffix(name, suffix) {
				continue
			}
			w, err := form.CreateFormFile(name, "x")
			if err == nil {
				_, err = io.WriteString(w, content)
			}
			if err != nil {
				f.t.Fatal(err)
			}
		}
	}
	form.Close()
	status, answer, err := f.post(id, route, form.FormDataContentType(), &body)
	if err != nil {
		f.t.Fatal(err)
	}
	return status, answer
}

func TestUploadsToAFullDiskSayItAndLeaveNothing(t *testing.T) {
	f := open(t, func(o *Options) { o.Slots = 1 })
	for name, fill := range map[string]string{
		"bytes":  "dd if=/dev/zero of=/home/user/fill bs=64k 2>&1",
		"inodes": "mkdir -p /home/user/many; cd /home/user/many; i=0; while touch $(seq $i $((i+999))); do i=$((i+1000)); done 2>&1 | head -n 3",
	} {
		t.Run(name, func(t *testing.T) {
			f := &fixture{Local: f.Local, t: t}
			s := f.create(func(s *engine.Spec) { s.Resources.Disk = 20 << 20 })
			const sentence = "the sandbox's disk is full: delete files or use a larger disk"
			big := strings.Repeat("x", 8<<20)
			if status, answer := f.upload(s.ID, "/files/upload?path=/home/user/old", map[string]string{"file": "as it was"}); status != http.StatusOK {
				t.Fatal(status, answer)
			}
			f.has(s.ID, "echo of two names >/home/user/linked && ln /home/user/linked /home/user/other && echo linked", "linked")
			f.has(s.ID, fill, "uota exceeded")
			for _, path := range []string{"/home/user/new", "/home/user/old", "/home/user/linked", "/home/user/dir/new"} {
				status, answer := f.upload(s.ID, "/files/upload?path="+url.QueryEscape(path), map[string]string{"file": big})
				if status != http.StatusInsufficientStorage || !strings.Contains(answer, sentence) {
					t.Errorf("%s: %d %s", path, status, answer)
				}
			}
			status, answer := f.upload(s.ID, "/files/bulk-upload", map[string]string{
				"files[0].path": "/home/user/new", "files[0].file": big, "files[1].path": "/dev/shm/fits", "files[1].file": "room here",
			})
			if status != http.StatusInsufficientStorage || strings.Count(answer, sentence) != 2 || strings.Contains(answer, "files[1]") {
				t.Errorf("bulk: %d %s", status, answer)
			}
			f.has(s.ID, "cat /dev/shm/fits", "room here")
			out, err := f.do(s.ID, "cd /home/user; cat old; cat linked other; find . -name '.upload*' -o -name 'new*'; echo; rm -rf many fill; echo freed")
			if err != nil || !strings.Contains(out, `"result":"as it wasof two names\nof two names\n\nfreed\n"`) {
				t.Errorf("what is left: %s, %v", out, err)
			}
			if status, answer := f.upload(s.ID, "/files/upload?path=/home/user/new", map[string]string{"file": big}); status != http.StatusOK {
				t.Errorf("after files were deleted: %d %s", status, answer)
			}
			st, err := f.Inspect(t.Context(), s.ID)
			if err != nil || st.DiskLimit != 20<<20 || st.DiskUsed < 8<<20 || st.DiskUsed > 20<<20 {
				t.Errorf("%+v, %v", st, err)
			}
			f.has(s.ID, "stat -c %s new", fmt.Sprint(len(big)))
			// The disk has room for this once, not twice.
			if status, answer := f.upload(s.ID, "/files/upload?path=/home/user/linked", map[string]string{"file": big}); status != http.StatusOK {
				t.Errorf("a file of two names: %d %s", status, answer)
			}
			f.has(s.ID, "cmp linked new && cmp other new && echo same", "same")
		})
	}
}

func TestASandboxWithAFullDiskStartsAgainAndCanMakeRoom(t *testing.T) {
	f := open(t, func(o *Options) { o.Slots = 1 })
	const limit = 20 << 20
	s := f.create(func(s *engine.Spec) { s.Resources.Disk = limit })
	f.has(s.ID, "cd /home/user; dd if=/dev/zero of=fill bs=64k 2>/dev/null; sync; touch more 2>&1", "uota exceeded")
	for _, again := range []string{"started", "and started once more"} {
		if err := f.Stop(t.Context(), s.ID, 0); err != nil {
			t.Fatal(err)
		}
		if err := f.Start(t.Context(), s); err != nil {
			t.Fatal(err)
		}
		f.has(s.ID, "echo "+again, again)
		if st, err := f.Inspect(t.Context(), s.ID); err != nil || st.DiskLimit != limit {
			t.Errorf("%+v, %v", st, err)
		}
	}
	f.has(s.ID, "cd /home/user; touch more 2>&1", "uota exceeded")
	out := ""
	for _, r := range []struct{ route, body string }{
		{"/process/session", `{"sessionId":"mend"}`},
		{"/process/session/mend/exec", `{"command":"rm /home/user/fill; echo room >/home/user/more; cat /home/user/more"}`},
	} {
		var err error
		if _, out, err = f.post(s.ID, r.route, "application/json", strings.NewReader(r.body)); err != nil {
			t.Fatal(err)
		}
	}
	if !strings.Contains(out, `"output":"room\n"`) {
		t.Errorf("in a session: %s", out)
	}
}
