package image

import (
	"archive/tar"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sys/unix"
)

func ownedBy(uid, gid int, e entry) entry {
	e.Uid, e.Gid = uid, gid
	return e
}

func TestFilesOfUsersThatNoSandboxHasBelongToNobodyAndAreTold(t *testing.T) {
	h, dir := newHub(t), t.TempDir()
	h.push(t, "library/app:1", imageOf(t, v1.Config{},
		layerOf(t, ownedBy(65535, 65535, file("last", "")), ownedBy(65536, 0, file("first", "")), file("mine", "")),
		layerOf(t, ownedBy(0, 1234567890, file("srv/group", "")),
			ownedBy(200000, 200000, entry{Header: tar.Header{Name: "srv/dir", Typeflag: tar.TypeDir, Mode: 0o700}}),
			ownedBy(1<<32-1, 1<<32, file("srv/wide", "")), // -1 and 0 to the kernel
			ownedBy(200000, 0, entry{Header: tar.Header{Name: "srv/link", Typeflag: tar.TypeSymlink, Linkname: "dir"}}))))
	s := openStore(t, dir, h)
	img, err := s.Pull(t.Context(), "app:1", PullOptions{Owner: "a"})
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string][2]uint32{
		"last": {65535, 65535}, "first": {65534, 0}, "mine": {1000, 1000}, "srv/group": {0, 65534}, "srv/dir": {65534, 65534}, "srv/wide": {65534, 65534}, "srv/link": {65534, 0},
	} {
		layer := img.Layers[0]
		if !strings.HasPrefix(path, "srv/") {
			layer = img.Layers[1]
		}
		var st unix.Stat_t
		if err := unix.Lstat(filepath.Join(layer, path), &st); err != nil || st.Uid != want[0] || st.Gid != want[1] {
			t.Errorf("%s belongs to %d:%d, want %v: %v", path, st.Uid, st.Gid, want, err)
		}
	}
	told := func(img *Image) {
		t.Helper()
		note := img.Foreign.Note()
		for _, want := range []string{"5 files", "65536", "1234567890", "/first", "/srv/dir", "0 to 65535", "useradd -u"} {
			if !strings.Contains(note, want) {
				t.Errorf("the note lacks %q: %s", want, note)
			}
		}
	}
	told(img)
	// Whoever takes it later unpacks nothing and is told the same.
	again, err := s.Pull(t.Context(), "app:1", PullOptions{Owner: "b"})
	if err != nil {
		t.Fatal(err)
	}
	told(again)
	closeStore(t, s)
	s = openStore(t, dir, h)
	defer closeStore(t, s)
	if img, err = s.Image(t.Context(), img.Digest); err != nil {
		t.Fatal(err)
	}
	told(img)
	h.push(t, "library/usual:1", imageOf(t, v1.Config{}, layerOf(t, file("mine", ""))))
	usual, err := s.Pull(t.Context(), "usual:1", PullOptions{Owner: "c"})
	if err != nil || usual.Foreign.Note() != "" {
		t.Errorf("an image as usual: %+v, %v", usual, err)
	}
}

// A record fits where a filesystem has room for little, and a layer cannot set it.
func TestTheRecordOfForeignFilesIsBoundedAndNobodyElses(t *testing.T) {
	h := newHub(t)
	var all []entry
	for i := range 100 {
		all = append(all, ownedBy(100000+i, 100000+i, file(strings.Repeat("long/", 30)+strings.Repeat("x", i+1), "")))
	}
	fake := entry{Header: tar.Header{Name: "./", Typeflag: tar.TypeDir, Mode: 0o755, PAXRecords: map[string]string{"SCHILY.xattr." + foreignAttribute: "{}"}}}
	h.push(t, "library/many:1", imageOf(t, v1.Config{}, layerOf(t, append([]entry{fake}, all...)...), layerOf(t, fake)))
	s := openStore(t, t.TempDir(), h)
	defer closeStore(t, s)
	img, err := s.Pull(t.Context(), "many:1", PullOptions{Owner: "a"})
	if err != nil {
		t.Fatal(err)
	}
	if f := img.Foreign; f.Files != 100 || len(f.Examples) != maxExamples || len(f.IDs) != maxExamples || len(f.Note()) > 2000 {
		t.Errorf("%+v", f)
	}
	if n, err := unix.Getxattr(img.Layers[0], foreignAttribute, nil); !errors.Is(err, unix.ENODATA) {
		t.Errorf("a layer set the record: %d bytes, %v", n, err)
	}
}

func TestAnImageThatRunsAsAUserWhomNoSandboxHasIsRefused(t *testing.T) {
	h := newHub(t)
	s := openStore(t, t.TempDir(), h)
	defer closeStore(t, s)
	layer := layerOf(t,
		file("etc/passwd", "root:x:0:0::/root:/bin/sh\napp:x:200000:200000::/:/bin/sh\nfar:x:1000:200000::/:/bin/sh\nmember:x:1001:1001::/:/bin/sh\n1002:x:1002:1002::/:/bin/sh\n"),
		file("etc/group", "root:x:0:\nwide:x:300000:member\n"))
	for user, refused := range map[string]bool{
		"": false, "root": false, "65535": false, "65535:65535": false, "1002": false, "nobody-yet": false,
		"65536": true, "200000": true, "app": true, "far": true, "far:0": false, "member": true, "0:65536": true, "root:wide": true, "4294967295": true, "99999999999999999999": true,
	} {
		h.push(t, "library/app:1", imageOf(t, v1.Config{User: user}, layer))
		_, err := s.Pull(t.Context(), "app:1", PullOptions{Owner: "a"})
		var failure *PullError
		switch {
		case !refused && err != nil:
			t.Errorf("user %q: %v", user, err)
		case refused && !errors.As(err, &failure):
			t.Errorf("user %q: %v", user, err)
		case refused && (failure.Kind != KindUser || !strings.Contains(failure.Message(), "USER") || !strings.Contains(failure.Message(), "65535")):
			t.Errorf("user %q: %s: %s", user, failure.Kind, failure.Message())
		}
	}
}

func TestAFileIsFoundAsAnOverlayOfTheLayersShowsIt(t *testing.T) {
	top, base := t.TempDir(), t.TempDir()
	write := func(layer, name, text string, mode os.FileMode) {
		t.Helper()
		path := filepath.Join(layer, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
	}
	link := func(layer, name, to string) {
		t.Helper()
		if err := os.Symlink(to, filepath.Join(layer, name)); err != nil {
			t.Fatal(err)
		}
	}
	write(base, "usr/bin/tool", "base", 0o755)
	link(base, "bin", "usr/bin")
	write(top, "usr/bin/late", "top", 0o755)
	write(base, "usr/bin/data", "base", 0o644)
	write(base, "gone", "base", 0o755)
	if err := unix.Mknod(filepath.Join(top, "gone"), unix.S_IFCHR, 0); err != nil {
		t.Fatal(err)
	}
	write(base, "opaque/hidden", "base", 0o755)
	write(top, "opaque/shown", "top", 0o755)
	if err := unix.Setxattr(filepath.Join(top, "opaque"), "trusted.overlay.opaque", []byte("y"), 0); err != nil {
		t.Fatal(err)
	}
	write(base, "was-dir/in", "base", 0o755)
	write(top, "was-dir", "top", 0o755)
	link(base, "loop", "loop")
	link(top, "up", "../../../usr/bin/tool")
	link(top, "abs", "/bin/tool")
	img := &Image{Layers: []string{top, base}, Config: Config{Env: []string{"PATH=/none:/bin"}, WorkDir: "/usr/bin"}}
	for path, want := range map[string]string{
		"/usr/bin/tool": "base", "/bin/tool": "base", "/bin/late": "top", "/up": "base", "/abs": "base", "/opaque/shown": "top", "/was-dir": "top",
		"/bin/../bin/late": "top", "/bin/../usr/bin/late": "", // .. of /usr/bin is /usr
		"/gone": "", "/opaque/hidden": "", "/was-dir/in": "", "/loop": "", "/bin": "", "/none": "", "/etc": "",
	} {
		f, err := img.open(path, unix.O_RDONLY)
		if err != nil {
			if want != "" {
				t.Errorf("%s: %v", path, err)
			}
			continue
		}
		var text [16]byte
		n, _ := f.Read(text[:])
		f.Close()
		if string(text[:n]) != want {
			t.Errorf("%s is %q, want %q", path, text[:n], want)
		}
	}
	for name, want := range map[string]bool{
		"tool": true, "late": true, "data": false, "gone": false, "/usr/bin/tool": true, "./tool": true, "bin/tool": false, "/bin": false, "up": false, "/up": true,
	} {
		if img.HasProgram(name) != want {
			t.Errorf("program %s: %t", name, !want)
		}
	}
}
