package fs

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/opendaytona/daytona/internal/toolbox/wire"
)

func TestNoRouteWaitsForANamedPipe(t *testing.T) {
	_, dir := service(t)
	for _, name := range []string{"/fifo", "/dir/fifo"} {
		if err := errors.Join(os.MkdirAll(dir+"/dir", 0o777), unix.Mkfifo(dir+name, 0o666), os.Chmod(dir+name, 0o666)); err != nil {
			t.Fatal(err)
		}
	}
	mux := http.NewServeMux()
	s := New(launcherOf(t, dir), nil)
	s.patience = 100 * time.Millisecond
	s.Register(mux)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for _, c := range []struct{ method, route, body string }{
			{"GET", "/files?path=fifo", ""}, {"GET", "/files?path=.&depth=3", ""}, {"GET", "/files/info?path=fifo", ""},
			{"GET", "/files/find?path=fifo&pattern=x", ""}, {"GET", "/files/find?path=.&pattern=x", ""}, {"GET", "/files/search?path=fifo&pattern=x", ""},
			{"GET", "/files/download?path=fifo", ""}, {"POST", "/files/bulk-download", `{"paths":["fifo"]}`},
			{"POST", "/files/replace", `{"files":["fifo"],"pattern":"x","newValue":""}`}, {"POST", "/files/upload-v2?path=fifo", "x"},
			{"POST", "/files/permissions?path=fifo&mode=666", ""}, {"POST", "/files/folder?path=fifo", ""},
		} {
			route, query, _ := strings.Cut(c.route, "?")
			values, _ := url.ParseQuery(query)
			call(mux, c.method, route, values, strings.NewReader(c.body), "")
		}
		// Nothing of this may have opened it: whoever waits for a reader would take
		// the agent for one.
		if _, err := unix.Open(dir+"/fifo", unix.O_WRONLY|unix.O_NONBLOCK, 0); err != unix.ENXIO {
			t.Errorf("it has a reader: %v", err)
		}
		// One that has a reader takes what it has room for.
		reader, err := os.OpenFile(dir+"/fifo", os.O_RDONLY|syscall.O_NONBLOCK, 0)
		if err != nil {
			t.Error(err)
			return
		}
		defer reader.Close()
		w := call(mux, "POST", "/files/upload-v2", q("path", "fifo"), strings.NewReader("to the pipe"), "")
		got := make([]byte, 100)
		if n, err := reader.Read(got); w.Code != 200 || err != nil || string(got[:n]) != "to the pipe" {
			t.Errorf("%d %s: %q, %v", w.Code, w.Body, got[:n], err)
		}
		w = call(mux, "POST", "/files/upload-v2", q("path", "fifo"), bytes.NewReader(make([]byte, 4<<20)), "")
		if e := decode[wire.Envelope](t, w); w.Code != 408 || e.Code != wire.RequestTimeout {
			t.Errorf("%d %s", w.Code, w.Body)
		}
	}()
	select {
	case <-ended:
	case <-time.After(20 * time.Second):
		t.Fatal("something waits")
	}
	if info, err := os.Lstat(dir + "/fifo"); err != nil || info.Mode().Type() != os.ModeNamedPipe {
		t.Errorf("it is %v, %v", info, err)
	}
}

// A user of the agent is the agent to the kernel where /proc tells of itself.
func TestWhatTheAgentHasOpenIsNotTheUsers(t *testing.T) {
	h, dir := service(t)
	put(t, dir+"/closed/readable", secret)
	put(t, dir+"/closed/dir/readable", secret)
	if err := errors.Join(os.Chown(dir+"/closed", 0, 0), os.Chmod(dir+"/closed", 0o700)); err != nil {
		t.Fatal(err)
	}
	file, err := os.Open(dir + "/closed/readable")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	folder, err := os.Open(dir + "/closed/dir")
	if err != nil {
		t.Fatal(err)
	}
	defer folder.Close()
	for _, proc := range []string{"/proc/self", "/proc/thread-self", fmt.Sprint("/proc/", os.Getpid())} {
		inFile, inFolder := fmt.Sprint(proc, "/fd/", file.Fd()), fmt.Sprint(proc, "/fd/", folder.Fd())
		if err := os.Remove(dir + "/link"); err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		if err := os.Symlink(inFile, dir+"/link"); err != nil {
			t.Fatal(err)
		}
		for _, c := range []struct{ route, path string }{
			{"/files/download", inFile}, {"/files/download", dir + "/link"}, {"/files/download", inFolder + "/readable"},
			{"/files/info", inFile}, {"/files", inFolder}, {"/files/find", inFolder}, {"/files/find", inFile}, {"/files/search", inFolder},
		} {
			w := call(h, "GET", c.route, q("path", c.path, "pattern", "*"), nil, "")
			if e := decode[wire.Envelope](t, w); w.Code != 403 || e.Code != wire.FileAccessDenied {
				t.Errorf("%s of %s: %d %s", c.route, c.path, w.Code, w.Body)
			}
		}
		if w := call(h, "POST", "/files/upload-v2", q("path", inFile), strings.NewReader("overwritten"), ""); w.Code != 403 {
			t.Errorf("%d %s", w.Code, w.Body)
		}
	}
	if content(t, dir+"/closed/readable") != secret {
		t.Error("it was changed")
	}
}

func TestALinkThatIsSwappedOpensNothing(t *testing.T) {
	h, dir := service(t)
	guarded(t, dir)
	put(t, dir+"/mine/own", "own")
	link := dir + "/mine/swapped"
	stop := make(chan struct{})
	var swapping sync.WaitGroup
	swapping.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			to := []string{"own", "../open/secret", "../closed", dir + "/mine"}[i%4]
			_ = os.Remove(link + ".new")
			_ = os.Symlink(to, link+".new")
			_ = os.Lchown(link+".new", ownerID, ownerID)
			_ = os.Rename(link+".new", link)
		}
	})
	opened := 0
	for end := time.Now().Add(time.Second); time.Now().Before(end); {
		for _, path := range []string{"mine/swapped", "mine/swapped/secret"} {
			w := call(h, "GET", "/files/download", q("path", path), nil, "")
			if strings.Contains(w.Body.String(), secret) {
				t.Fatalf("%s gave the secret", path)
			}
			if w.Code == 200 {
				opened++
			}
			call(h, "POST", "/files/upload-v2", q("path", path), strings.NewReader("own"), "")
			call(h, "POST", "/files/permissions", q("path", path, "mode", "755"), nil, "") // it may be the directory now
			call(h, "DELETE", "/files", q("path", "mine/swapped/secret"), nil, "")
		}
	}
	close(stop)
	swapping.Wait()
	if opened == 0 {
		t.Error("the link never led to the user's own file")
	}
	for _, path := range []string{"/open/secret", "/closed/secret"} {
		info, err := os.Stat(dir + path)
		if err != nil || content(t, dir+path) != secret || owner(t, dir+path) != 0 {
			t.Errorf("%s: %v, %v", path, info, err)
		}
	}
	if info, err := os.Stat(dir + "/open/secret"); err != nil || info.Mode() != 0o600 {
		t.Errorf("%v %v", info, err)
	}
}

func TestWhatIsMadeInASharedDirectoryHasItsGroup(t *testing.T) {
	h, dir := service(t)
	const group = 7777
	if err := errors.Join(os.Mkdir(dir+"/shared", 0o777), os.Chown(dir+"/shared", 0, group), os.Chmod(dir+"/shared", 0o777|os.ModeSetgid)); err != nil {
		t.Fatal(err)
	}
	call(h, "POST", "/files/folder", q("path", "shared/made/folder", "mode", "755"), nil, "")
	call(h, "POST", "/files/upload-v2", q("path", "shared/up/file"), strings.NewReader("x"), "")
	for path, mode := range map[string]os.FileMode{
		"made": os.ModeDir | os.ModeSetgid | 0o755, "made/folder": os.ModeDir | os.ModeSetgid | 0o755, "up": os.ModeDir | os.ModeSetgid | 0o755, "up/file": 0o644,
	} {
		info, err := os.Stat(dir + "/shared/" + path)
		if err != nil {
			t.Fatal(err)
		}
		if st := info.Sys().(*syscall.Stat_t); st.Gid != group || st.Uid != ownerID || info.Mode() != mode {
			t.Errorf("%s is %v of %d:%d", path, info.Mode(), st.Uid, st.Gid)
		}
	}
}

func TestModesAreAsAskedWhateverTheUmask(t *testing.T) {
	defer syscall.Umask(syscall.Umask(0o077))
	h, dir := service(t)
	call(h, "POST", "/files/folder", q("path", "d", "mode", "775"), nil, "")
	call(h, "POST", "/files/upload-v2", q("path", "f"), strings.NewReader("x"), "")
	for path, mode := range map[string]os.FileMode{"/d": os.ModeDir | 0o775, "/f": 0o644} {
		if info, err := os.Stat(dir + path); err != nil || info.Mode() != mode {
			t.Errorf("%s: %v %v", path, info, err)
		}
	}
}

func TestAttributesSurviveAnUpload(t *testing.T) {
	h, dir := service(t)
	put(t, dir+"/f", "old")
	if err := unix.Setxattr(dir+"/f", "user.note", []byte("kept"), 0); err != nil {
		t.Fatal(err)
	}
	w := call(h, "POST", "/files/upload-v2", q("path", "f"), strings.NewReader("new"), "")
	value := make([]byte, 10)
	n, err := unix.Getxattr(dir+"/f", "user.note", value)
	if w.Code != 200 || err != nil || string(value[:n]) != "kept" || content(t, dir+"/f") != "new" {
		t.Errorf("%d %s: %q, %v", w.Code, w.Body, value[:max(n, 0)], err)
	}
}

func TestAFullDiskIs507AndLeavesNothing(t *testing.T) {
	h, dir := service(t)
	if err := errors.Join(os.Mkdir(dir+"/small", 0o755), unix.Mount("none", dir+"/small", "tmpfs", 0, "size=256k,mode=777")); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := unix.Unmount(dir+"/small", 0); err != nil {
			t.Error(err)
		}
	}()
	call(h, "POST", "/files/upload-v2", q("path", "small/old"), strings.NewReader("old"), "")
	for _, path := range []string{"small/new", "small/old"} {
		if w := call(h, "POST", "/files/upload-v2", q("path", path), bytes.NewReader(make([]byte, 1<<20)), ""); w.Code != 507 {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
	var form bytes.Buffer
	m := multipart.NewWriter(&form)
	for i, size := range []int{1 << 20, 3} {
		_ = m.WriteField(fmt.Sprintf("files[%d].path", i), fmt.Sprint("small/", i))
		part, _ := m.CreateFormFile(fmt.Sprintf("files[%d].file", i), "x")
		_, _ = part.Write(make([]byte, size))
	}
	m.Close()
	w := call(h, "POST", "/files/bulk-upload", nil, &form, m.FormDataContentType())
	if w.Code != 507 || !strings.Contains(w.Body.String(), `"files":[{"path":"small/1","bytes":3}]`) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	left, _ := filepath.Glob(dir + "/small/*")
	hidden, _ := filepath.Glob(dir + "/small/.*")
	if content(t, dir+"/small/old") != "old" || len(left) != 2 || len(hidden) != 0 {
		t.Errorf("left: %v %v", left, hidden)
	}
}

func TestAHugeSparseFile(t *testing.T) {
	h, dir := serviceOf(t, "root")
	const size = 5 << 30
	put(t, dir+"/huge", "")
	f, err := os.OpenFile(dir+"/huge", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.WriteAt([]byte("end"), size-3)
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
	if e := decode[entry](t, call(h, "GET", "/files/info", q("path", "huge"), nil, "")); e.Size != size {
		t.Errorf("%+v", e)
	}
	if w := call(h, "HEAD", "/files/download", q("path", "huge"), nil, ""); w.Code != 200 || w.Header().Get("Content-Length") != fmt.Sprint(size) {
		t.Errorf("%d %v", w.Code, w.Header())
	}
	r, err := http.NewRequestWithContext(t.Context(), "GET", "/files/download?path=huge", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Range", "bytes=-3")
	if w := serve(h, r); w.Code != 206 || w.Body.String() != "end" || w.Header().Get("Content-Range") != fmt.Sprintf("bytes %d-%d/%d", size-3, size-1, size) {
		t.Errorf("%d %v", w.Code, w.Header())
	}
	shm, err := os.MkdirTemp("/dev/shm", "huge-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(shm)
	if w := call(h, "POST", "/files/move", q("source", "huge", "destination", shm+"/huge"), nil, ""); w.Code != 200 {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	info, err := os.Stat(shm + "/huge")
	if err != nil || info.Size() != size || info.Sys().(*syscall.Stat_t).Blocks > 1000 {
		t.Errorf("%+v, %v", info, err)
	}
}

func TestNamesThatAreNotUTF8(t *testing.T) {
	h, dir := service(t)
	const name = "caf\xe9.txt"
	if w := call(h, "POST", "/files/upload-v2", q("path", "d/"+name), strings.NewReader("x"), ""); w.Code != 200 {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	if content(t, dir+"/d/"+name) != "x" {
		t.Error("it has another name")
	}
	w := call(h, "GET", "/files", q("path", "d"), nil, "")
	if e := decode[[]entry](t, w); len(e) != 1 || e[0].Name != "caf\ufffd.txt" {
		t.Errorf("%+v", e)
	}
	if w := call(h, "GET", "/files/download", q("path", "d/"+name), nil, ""); w.Body.String() != "x" {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if w := call(h, "DELETE", "/files", q("path", "d/"+name), nil, ""); w.Code != 204 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func TestAFileThatChangesItsSizeComesAsItWasMeasured(t *testing.T) {
	h, dir := service(t)
	put(t, dir+"/log", strings.Repeat("0123456789", 10_000))
	stop := make(chan struct{})
	var growing sync.WaitGroup
	growing.Go(func() {
		f, err := os.OpenFile(dir+"/log", os.O_WRONLY|os.O_APPEND, 0)
		if err != nil {
			t.Error(err)
			return
		}
		defer f.Close()
		for {
			select {
			case <-stop:
				return
			case <-time.After(time.Millisecond):
				_, _ = f.WriteString("0123456789")
			}
		}
	})
	for range 50 {
		w := call(h, "GET", "/files/download", q("path", "log"), nil, "")
		text := w.Body.String()
		if length := w.Header().Get("Content-Length"); w.Code != 200 || length != fmt.Sprint(len(text)) || len(text) < 100_000 || text != strings.Repeat("0123456789", len(text)/10+1)[:len(text)] {
			t.Fatalf("%d, %d bytes, Content-Length %s", w.Code, len(text), length)
		}
	}
	close(stop)
	growing.Wait()

	put(t, dir+"/shrunk", strings.Repeat("x", 70_000))
	f, err := os.Open(dir + "/shrunk")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	c := &source{ReadSeeker: f, file: f, size: 100_000} // as stat had it
	if err := c.measure(); err != nil || c.size != unknown {
		t.Errorf("%d, %v", c.size, err)
	}
	if all, err := io.ReadAll(c); err != nil || len(all) != 70_000 {
		t.Errorf("%d bytes, %v", len(all), err)
	}
}
