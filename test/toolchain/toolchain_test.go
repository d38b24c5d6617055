// Package toolchain_test runs scripts/toolchain where no compiler is installed,
// with proxies and registries of its own.
package toolchain_test

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
)

// goVersion is one that no machine has.
const goVersion = "99.1.2"

// tools are all that the script may need of a machine.
var tools = strings.Fields(`basename bash cat chmod cp curl cut dirname find flock grep gzip head id ln mkdir mktemp
	mv paste rm sed sha256sum sort tail tar tr uname unzip`)

// machine is a checkout on a machine without compilers and package manager.
type machine struct {
	t    *testing.T
	dir  string
	bin  string // its PATH
	own  string // DAYTONA_TOOLCHAIN
	name string // of the Go that it fetches
}

func newMachine(t *testing.T) *machine {
	t.Helper()
	dir := t.TempDir()
	m := &machine{t: t, dir: dir, bin: filepath.Join(dir, "bin"), own: filepath.Join(dir, "own"), name: "go" + goVersion + ".linux-" + runtime.GOARCH}
	for _, d := range []string{m.bin, filepath.Join(dir, "scripts")} {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, tool := range tools {
		path, err := exec.LookPath(tool)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(path, filepath.Join(m.bin, tool)); err != nil {
			t.Fatal(err)
		}
	}
	script, err := os.ReadFile("../../scripts/toolchain")
	if err != nil {
		t.Fatal(err)
	}
	m.write("scripts/toolchain", string(script))
	m.write("go.mod", "module example.com/m\n\ngo "+goVersion+"\n")
	return m
}

func (m *machine) write(name, text string) {
	m.t.Helper()
	if err := os.WriteFile(filepath.Join(m.dir, name), []byte(text), 0o755); err != nil {
		m.t.Fatal(err)
	}
}

// pin writes the checksums of files by their names.
func (m *machine) pin(files map[string][]byte) {
	m.t.Helper()
	var sums strings.Builder
	for name, b := range files {
		fmt.Fprintf(&sums, "%x  %s\n", sha256.Sum256(b), name)
	}
	m.write("scripts/toolchain.sums", sums.String())
}

// run is the script's output.
func (m *machine) run(env []string, args ...string) (string, error) {
	m.t.Helper()
	c := exec.CommandContext(m.t.Context(), filepath.Join(m.bin, "bash"), append([]string{filepath.Join(m.dir, "scripts/toolchain")}, args...)...)
	c.Env = append([]string{"HOME=" + m.dir, "PATH=" + filepath.Join(m.own, "bin") + ":" + m.bin, "DAYTONA_TOOLCHAIN=" + m.own, "no_proxy=*"}, env...)
	out, err := c.CombinedOutput()
	return string(out), err
}

// fails wants the script to fail with the words, and to leave nothing.
func (m *machine) fails(env []string, words string, args ...string) {
	m.t.Helper()
	out, err := m.run(env, args...)
	if exit := (*exec.ExitError)(nil); !errors.As(err, &exit) || !strings.Contains(out, words) {
		m.t.Errorf("got %v and %q, want %q", err, out, words)
	}
	left, _ := filepath.Glob(filepath.Join(m.own, "*"))
	for _, path := range left {
		if filepath.Base(path) != "lock" {
			m.t.Errorf("%s is left", path)
		}
	}
}

// says wants a program that was installed to say the words.
func (m *machine) says(words, program string) {
	m.t.Helper()
	out, err := exec.Command(filepath.Join(m.own, "bin", program)).CombinedOutput()
	if err != nil || !strings.Contains(string(out), words) {
		m.t.Errorf("%s: %q, %v", program, out, err)
	}
}

// toolchain is a Go as the module proxies send it: without modes and modules.
func (m *machine) toolchain() []byte {
	m.t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for name, text := range map[string]string{
		"bin/go": "#!/bin/sh\necho go version go" + goVersion + "\n", "bin/gofmt": "#!/bin/sh\n",
		"pkg/tool/linux/compile": "#!/bin/sh\n", "src/_go.mod": "module std\n", "src/cmd/_go.mod": "module cmd\n",
	} {
		f, err := w.Create("golang.org/toolchain@v0.0.1-" + m.name + "/" + name)
		if err == nil {
			_, err = f.Write([]byte(text))
		}
		if err != nil {
			m.t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		m.t.Fatal(err)
	}
	return b.Bytes()
}

// server answers every request with the status, and with the body for 200.
type server struct {
	*httptest.Server
	mu    sync.Mutex
	asked []string
}

func serve(t *testing.T, status int, body func(path string) []byte) *server {
	s := &server{}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.asked = append(s.asked, r.URL.Path)
		w.WriteHeader(status)
		if status == http.StatusOK {
			_, _ = w.Write(body(r.URL.Path))
		}
	}))
	t.Cleanup(s.Close)
	return s
}

func TestGoComesFromTheModuleProxyOnce(t *testing.T) {
	m := newMachine(t)
	file := m.toolchain()
	m.pin(map[string][]byte{m.name + ".zip": file})
	proxy := serve(t, http.StatusOK, func(string) []byte { return file })
	out, err := m.run([]string{"GOPROXY=" + proxy.URL})
	if err != nil || !strings.Contains(out, "from the Go module proxy") {
		t.Fatalf("%v: %s", err, out)
	}
	m.says("go version go"+goVersion, "go")
	for _, name := range []string{"src/go.mod", "src/cmd/go.mod"} {
		if _, err := os.Stat(filepath.Join(m.own, "go"+goVersion, name)); err != nil {
			t.Error(err)
		}
	}
	if info, err := os.Stat(filepath.Join(m.own, "go"+goVersion, "pkg/tool/linux/compile")); err != nil || info.Mode()&0o111 != 0o111 {
		t.Errorf("the compiler cannot be run: %v, %v", info, err)
	}
	if want := "/golang.org/toolchain/@v/v0.0.1-" + m.name + ".zip"; len(proxy.asked) != 1 || proxy.asked[0] != want {
		t.Errorf("asked for %v, want %s", proxy.asked, want)
	}
	if out, err := m.run([]string{"GOPROXY=off"}); err != nil || out != "" {
		t.Errorf("again: %v, %q", err, out)
	}

	// Once the machine has one, it is used.
	m.write("bin/go", "#!/bin/sh\necho go version go100.0 linux\n")
	if out, err := m.run([]string{"GOPROXY=off"}); err != nil || out != "" {
		t.Errorf("beside the machine's: %v, %q", err, out)
	}
	if _, err := os.Lstat(filepath.Join(m.own, "bin/go")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the fetched one is in front of the machine's: %v", err)
	}
}

func TestWhatHasAnotherChecksumIsNotInstalled(t *testing.T) {
	m := newMachine(t)
	m.pin(map[string][]byte{m.name + ".zip": []byte("another"), "npm-1.tgz": nil})
	proxy := serve(t, http.StatusOK, func(string) []byte { return m.toolchain() })
	m.fails([]string{"GOPROXY=" + proxy.URL}, "is not the file with the checksum")

	m.pin(nil)
	m.fails([]string{"GOPROXY=" + proxy.URL}, "no checksum of "+m.name+".zip")
	if len(proxy.asked) != 1 {
		t.Errorf("asked for %v", proxy.asked)
	}
}

func TestProxiesAreAskedAsTheGoCommandDoes(t *testing.T) {
	m := newMachine(t)
	file := m.toolchain()
	m.pin(map[string][]byte{m.name + ".zip": file})
	has := serve(t, http.StatusOK, func(string) []byte { return file })
	lacks, broken := serve(t, http.StatusNotFound, nil), serve(t, http.StatusForbidden, nil)
	for name, c := range map[string]struct{ list, refusal string }{
		"after one that does not know it": {lacks.URL + "," + has.URL, ""},
		"after one that refuses":          {broken.URL + "," + has.URL, "error: 403"},
		"after whatever":                  {broken.URL + "|" + has.URL, ""},
		"after direct":                    {"direct," + has.URL + "/", ""},
		"none":                            {"direct", "none is asked"},
		"off":                             {"off," + has.URL, "none is asked"},
	} {
		t.Run(name, func(t *testing.T) {
			m := *m
			m.t, m.own = t, t.TempDir()
			if c.refusal != "" {
				m.fails([]string{"GOPROXY=" + c.list}, c.refusal)
				return
			}
			if out, err := m.run([]string{"GOPROXY=" + c.list}); err != nil {
				t.Errorf("%v: %s", err, out)
			}
		})
	}
	// As `go env -w` keeps it.
	m.t, m.own = t, t.TempDir()
	m.write("env", "GOPROXY="+has.URL+"\n")
	if out, err := m.run([]string{"GOENV=" + filepath.Join(m.dir, "env")}); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}

func TestNodeComesFromTheNpmRegistryWhereTheMachinesIsTooOld(t *testing.T) {
	m := newMachine(t)
	script, err := os.ReadFile(filepath.Join(m.dir, "scripts/toolchain"))
	if err != nil {
		t.Fatal(err)
	}
	version := func(of string) string {
		_, rest, _ := strings.Cut(string(script), "\n"+of+"_version=")
		return strings.Fields(rest)[0]
	}
	node := "node-linux-" + map[string]string{"amd64": "x64", "arm64": "arm64"}[runtime.GOARCH]
	files := map[string][]byte{
		node + "-" + version("node") + ".tgz": tgz(t, "package/bin/node", "#!/bin/sh\necho new\n"),
		"npm-" + version("npm") + ".tgz":      tgz(t, "package/bin/npm-cli.js", "#!/bin/sh\necho npm\n"),
	}
	m.pin(files)
	registry := serve(t, http.StatusOK, func(path string) []byte { return files[filepath.Base(path)] })
	m.write(".npmrc", "audit=false\nregistry="+registry.URL+"/\n")
	for _, old := range []string{"v18.20.4", "v22.11.0", "v21.7.3"} {
		m.own = t.TempDir()
		m.write("bin/node", "#!/bin/sh\necho "+old+"\n")
		out, err := m.run(nil, "node")
		if err != nil || !strings.Contains(out, "from the npm registry") {
			t.Fatalf("%s: %v: %s", old, err, out)
		}
		m.says("new", "node")
		m.says("npm", "npm")
	}
	if want := "/" + node + "/-/" + node + "-" + version("node") + ".tgz"; registry.asked[0] != want {
		t.Errorf("asked for %s, want %s", registry.asked[0], want)
	}
	for _, enough := range []string{"v20.19.2", "v22.12.0", "v24.1.0"} {
		m.write("bin/node", "#!/bin/sh\necho "+enough+"\n")
		m.write("bin/npm", "#!/bin/sh\n")
		if out, err := m.run(nil, "node"); err != nil || out != "" {
			t.Errorf("%s: %v: %s", enough, err, out)
		}
		if _, err := os.Lstat(filepath.Join(m.own, "bin/node")); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: the fetched one is in front of the machine's: %v", enough, err)
		}
	}
}

func tgz(t *testing.T, name, text string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	w := tar.NewWriter(z)
	err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o755, Size: int64(len(text))})
	if err == nil {
		_, err = w.Write([]byte(text))
	}
	if err := errors.Join(err, w.Close(), z.Close()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestTheGoOfThisModuleHasChecksums(t *testing.T) {
	mod, err := os.ReadFile("../../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	sums, err := os.ReadFile("../../scripts/toolchain.sums")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(mod), "\ngo ")
	for _, arch := range []string{"amd64", "arm64"} {
		if name := "go" + strings.Fields(rest)[0] + ".linux-" + arch + ".zip"; !strings.Contains(string(sums), "  "+name+"\n") {
			t.Errorf("scripts/toolchain.sums lacks %s", name)
		}
	}
}
