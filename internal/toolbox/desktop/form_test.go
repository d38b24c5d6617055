package desktop

import (
	"bytes"
	_ "embed"
	"encoding/base64"
	"image"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	_ "image/jpeg"
	_ "image/png"

	_ "golang.org/x/image/webp"
)

// form is a program with a window at a known place: a field, a button that colours
// a square, and a log of the events it gets, which it writes to the file it is given.
//
//go:embed testdata/form.py
var form string

// events runs the form on the sandbox's desktop, and returns how to read its log.
func (s *sandbox) events() (read func() string) {
	s.t.Helper()
	file := filepath.Join(s.home, "events")
	python := exec.CommandContext(s.t.Context(), "/usr/bin/python3", "-c", form, file)
	python.Env = append(os.Environ(), "DISPLAY="+s.env["DISPLAY"], "HOME="+s.home, "LANG=C.UTF-8")
	python.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if os.Geteuid() == 0 {
		python.SysProcAttr.Credential = &syscall.Credential{Uid: uint32(userID()), Gid: uint32(userID())}
	}
	var stderr bytes.Buffer
	python.Stderr = &stderr
	if err := python.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() {
		_ = python.Process.Kill()
		_ = python.Wait()
		if s.t.Failed() {
			s.t.Logf("the form said: %s", stderr.String())
		}
	})
	read = func() string {
		b, _ := os.ReadFile(file)
		return string(b)
	}
	s.await("the form is there", func() bool { return strings.Contains(read(), "ready\n") })
	return read
}

// await waits until what is told becomes true.
func (s *sandbox) await(what string, ok func() bool) {
	s.t.Helper()
	for end := time.Now().Add(20 * time.Second); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			s.t.Fatalf("not after 20 s: %s", what)
		}
	}
}

// look takes a screenshot.
func (s *sandbox) look(query string) (image.Image, string, body) {
	s.t.Helper()
	answer := s.do("GET", "/computeruse/screenshot"+query, nil)
	b, err := base64.StdEncoding.DecodeString(answer["screenshot"].(string))
	if err != nil {
		s.t.Fatal(err)
	}
	if answer["sizeBytes"] != float64(len(b)) {
		s.t.Errorf("sizeBytes is %v of %d", answer["sizeBytes"], len(b))
	}
	img, format, err := image.Decode(bytes.NewReader(b))
	if err != nil {
		s.t.Fatal(err)
	}
	if dir := os.Getenv("SCREENSHOTS"); dir != "" {
		_ = os.WriteFile(filepath.Join(dir, strings.NewReplacer("/", "_", "?", "_").Replace(s.t.Name()+query)+"."+format), b, 0o644)
	}
	return img, format, answer
}

// colour is that of a pixel, as 0xrrggbb.
func colour(img image.Image, x, y int) int {
	r, g, b, _ := img.At(x, y).RGBA()
	return int(r>>8)<<16 | int(g>>8)<<8 | int(b>>8)
}

// started is a sandbox whose desktop runs.
func started(t *testing.T, display int, variables ...string) *sandbox {
	t.Helper()
	s := newSandbox(t, display, variables...)
	s.do("POST", "/computeruse/start", nil)
	return s
}
