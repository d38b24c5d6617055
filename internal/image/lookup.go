package image

import (
	"errors"
	"io/fs"
	"os"
	"path"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// maxLinks is how many links the kernel follows on one path.
const maxLinks = 40

// open opens a file at an absolute path as an overlay of the image's layers would
// show it; links are followed in the image only. flags may not create. Errors:
// fs.ErrNotExist; fs.ErrInvalid for links without end.
func (i *Image) open(name string, flags int) (*os.File, error) {
	done, left, links := "/", strings.Split(name, "/"), 0
	for len(left) > 0 {
		part := left[0]
		left = left[1:]
		next := path.Join(done, part)
		if next == done || part == ".." {
			done = next
			continue
		}
		f, err := openMerged(i.Layers, next)
		if err != nil {
			return nil, err
		}
		link, err := readLink(f)
		f.Close()
		switch {
		case errors.Is(err, errNoLink):
			done = next
		case err != nil:
			return nil, err
		default:
			if links++; links > maxLinks {
				return nil, fs.ErrInvalid
			}
			if path.IsAbs(link) {
				done = "/"
			}
			left = append(strings.Split(link, "/"), left...)
		}
	}
	at, err := openMerged(i.Layers, done)
	if err != nil || flags&unix.O_PATH != 0 {
		return at, err
	}
	defer at.Close()
	if info, err := at.Stat(); err != nil || !info.Mode().IsRegular() {
		return nil, errors.Join(fs.ErrNotExist, err) // to open others can wait, or do something
	}
	fd, err := unix.Open("/proc/self/fd/"+strconv.Itoa(int(at.Fd())), flags|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	return os.NewFile(uintptr(fd), name), nil
}

// openMerged opens, as a path only, what layers have at a path in which nothing
// but the last part may be a link.
func openMerged(layers []string, name string) (*os.File, error) {
	parts := strings.FieldsFunc(name, func(r rune) bool { return r == '/' })
	for _, layer := range layers {
		f, hidden, err := openLayer(layer, parts)
		if f != nil || err != nil {
			return f, err
		}
		if hidden {
			break
		}
	}
	return nil, &fs.PathError{Op: "look up", Path: name, Err: fs.ErrNotExist}
}

// openLayer opens what one layer has; hidden says that it has nothing, and hides
// what the layers below it have.
func openLayer(layer string, parts []string) (f *os.File, hidden bool, err error) {
	const flags = unix.O_PATH | unix.O_NOFOLLOW | unix.O_CLOEXEC
	fd, err := unix.Open(layer, flags|unix.O_DIRECTORY, 0)
	if err != nil {
		return nil, false, &fs.PathError{Op: "open layer", Path: layer, Err: err}
	}
	for n, part := range parts {
		next, err := unix.Openat(fd, part, flags, 0)
		_ = unix.Close(fd)
		if errors.Is(err, unix.ENOENT) {
			return nil, hidden, nil
		}
		if err != nil {
			return nil, false, &fs.PathError{Op: "open", Path: layer + "/" + path.Join(parts[:n+1]...), Err: err}
		}
		fd = next
		var st unix.Stat_t
		if err := unix.Fstat(fd, &st); err != nil {
			_ = unix.Close(fd)
			return nil, false, err
		}
		whiteout := st.Mode&unix.S_IFMT == unix.S_IFCHR && st.Rdev == 0
		through := n < len(parts)-1 && st.Mode&unix.S_IFMT != unix.S_IFDIR
		if whiteout || through {
			_ = unix.Close(fd)
			return nil, true, nil
		}
		hidden = hidden || opaque(fd)
	}
	return os.NewFile(uintptr(fd), path.Join(parts...)), false, nil
}

// opaque reports whether a directory hides those of the layers below.
func opaque(fd int) bool {
	value := make([]byte, 1)
	n, err := unix.Getxattr("/proc/self/fd/"+strconv.Itoa(fd), "trusted.overlay.opaque", value)
	return err == nil && n == 1 && value[0] == 'y'
}

var errNoLink = errors.New("no link")

func readLink(f *os.File) (string, error) {
	text := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(int(f.Fd()), "", text)
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOENT) {
		return "", errNoLink
	}
	if err != nil {
		return "", &fs.PathError{Op: "read link", Path: f.Name(), Err: err}
	}
	return string(text[:n]), nil
}
