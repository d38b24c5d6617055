package view

import (
	"log"
	"sync"
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"
)

// filesystem is a directory of the files. The kernel checks permissions by
// itself and remembers names.
type filesystem struct {
	fuse.RawFileSystem
	view *View

	mu     sync.Mutex
	next   uint64
	opened map[uint64]*handle
}

// handle is an opened file. Its text is made by a read of its beginning and
// stays the same until it was read to its end.
type handle struct {
	file file
	mu   sync.Mutex
	text string
	size int // of the text, also when it is kept no more
}

const (
	// maxOpened bounds what unread files cost the agent.
	maxOpened = 4096
	// forever is how long the kernel may remember a name.
	forever = 365 * 24 * time.Hour
	// page is what a file's size is a multiple of.
	page = 4096
)

func newFilesystem(v *View) *filesystem {
	return &filesystem{RawFileSystem: fuse.NewDefaultRawFileSystem(), view: v, opened: map[uint64]*handle{}}
}

// serve answers the kernel behind the descriptor, which it owns from now on,
// until nothing is mounted any more.
func (f *filesystem) serve(device string) error {
	server, err := fuse.NewServer(f, device, &fuse.MountOptions{
		MaxWrite: 16 << 10, DisableXAttrs: true, Logger: log.Default(),
	})
	if err != nil {
		return err
	}
	go server.Serve()
	return nil
}

func (*filesystem) String() string { return "daytona" }

// inode is the number of a file; that of the directory is the kernel's choice.
func inode(i int) uint64 { return fuse.FUSE_ROOT_ID + 1 + uint64(i) }

func fileOf(node uint64) (file, bool) {
	i := int(node) - int(inode(0))
	if i < 0 || i >= len(files) {
		return file{}, false
	}
	return files[i], true
}

// attributes are asked for at each open, and not remembered: sendfile(2) reads
// as far as the size and no further, where the kernel's own files have none.
// Whole pages are not taken for the real size by programs, and after a short
// read the kernel knows that. The size of most files is known beforehand.
func attributes(node uint64, text string) fuse.Attr {
	if node == fuse.FUSE_ROOT_ID {
		return fuse.Attr{Ino: node, Mode: syscall.S_IFDIR | 0o555, Nlink: 2}
	}
	const growth = 64 // until it is read
	pages := (len(text) + growth + page - 1) / page
	return fuse.Attr{Ino: node, Mode: syscall.S_IFREG | 0o444, Nlink: 1, Size: uint64(pages * page), Blksize: page}
}

func (f *filesystem) Lookup(_ <-chan struct{}, parent *fuse.InHeader, name string, out *fuse.EntryOut) fuse.Status {
	for i, file := range files {
		if file.name == name && parent.NodeId == fuse.FUSE_ROOT_ID {
			f.entry(i, out)
			return fuse.OK
		}
	}
	return fuse.ENOENT
}

func (*filesystem) entry(i int, out *fuse.EntryOut) {
	out.NodeId, out.Attr = inode(i), attributes(inode(i), "")
	out.SetEntryTimeout(forever)
}

func (f *filesystem) GetAttr(_ <-chan struct{}, in *fuse.GetAttrIn, out *fuse.AttrOut) fuse.Status {
	text := ""
	if file, ok := fileOf(in.NodeId); ok && file.long {
		text = file.write(f.view)
	}
	out.Attr = attributes(in.NodeId, text)
	return fuse.OK
}

func (f *filesystem) OpenDir(<-chan struct{}, *fuse.OpenIn, *fuse.OpenOut) fuse.Status {
	return fuse.OK
}

func (f *filesystem) ReadDir(_ <-chan struct{}, in *fuse.ReadIn, out *fuse.DirEntryList) fuse.Status {
	for i := int(in.Offset); i < len(files); i++ {
		if !out.AddDirEntry(fuse.DirEntry{Name: files[i].name, Ino: inode(i), Mode: syscall.S_IFREG}) {
			break
		}
	}
	return fuse.OK
}

// ReadDirPlus lets the kernel know all files by one question.
func (f *filesystem) ReadDirPlus(_ <-chan struct{}, in *fuse.ReadIn, out *fuse.DirEntryList) fuse.Status {
	for i := int(in.Offset); i < len(files); i++ {
		entry := out.AddDirLookupEntry(fuse.DirEntry{Name: files[i].name, Ino: inode(i), Mode: syscall.S_IFREG})
		if entry == nil {
			break
		}
		f.entry(i, entry)
	}
	return fuse.OK
}

// StatFs says that there is no space to speak of, so df leaves it out.
func (f *filesystem) StatFs(<-chan struct{}, *fuse.InHeader, *fuse.StatfsOut) fuse.Status {
	return fuse.OK
}

func (f *filesystem) Open(_ <-chan struct{}, in *fuse.OpenIn, out *fuse.OpenOut) fuse.Status {
	file, ok := fileOf(in.NodeId)
	if !ok {
		return fuse.ENOENT
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.opened) >= maxOpened {
		return fuse.Status(syscall.ENFILE)
	}
	f.next++
	f.opened[f.next] = &handle{file: file}
	out.Fh, out.OpenFlags = f.next, fuse.FOPEN_DIRECT_IO
	return fuse.OK
}

func (f *filesystem) Release(_ <-chan struct{}, in *fuse.ReleaseIn) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.opened, in.Fh)
}

func (f *filesystem) Read(_ <-chan struct{}, in *fuse.ReadIn, buf []byte) (fuse.ReadResult, fuse.Status) {
	f.mu.Lock()
	h := f.opened[in.Fh]
	f.mu.Unlock()
	if h == nil {
		return nil, fuse.EBADF
	}
	return fuse.ReadResultData(buf[:h.read(f.view, buf, in.Offset)]), fuse.OK
}

func (h *handle) read(v *View, buf []byte, offset uint64) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	if offset > 0 && offset >= uint64(h.size) && h.size > 0 {
		h.text = "" // it was read to its end
		return 0
	}
	if offset == 0 || h.text == "" {
		h.text = h.file.write(v)
		h.size = len(h.text)
	}
	if offset >= uint64(h.size) {
		return 0
	}
	return copy(buf, h.text[offset:])
}
