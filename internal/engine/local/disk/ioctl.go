package disk

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Requests and structures of include/uapi/linux/btrfs.h.
const (
	iocResize       = 0x50009403
	iocSync         = 0x00009408
	iocIDLookup     = 0xd0009412
	iocSubvolCreate = 0x50009418
	iocSnapCreate   = 0x50009417
	iocSnapDestroy  = 0x5000940f
	iocTreeSearch   = 0xd0009411
	iocFSInfo       = 0x8400941f
	iocQuotaCtl     = 0xc0109428
	iocQgroupAssign = 0x40189429
	iocQgroupCreate = 0x4010942a
	iocQgroupLimit  = 0x8030942b

	quotaEnable       = 1
	quotaEnableSimple = 4 // Linux 6.7: counts extents where they were written, at almost no cost

	limitReferenced = 1 << 0

	quotaTree        = 8   // BTRFS_QUOTA_TREE_OBJECTID
	relationItemType = 246 // BTRFS_QGROUP_RELATION_KEY

	firstSubvolume = 256 // BTRFS_FIRST_FREE_OBJECTID, also the inode of a subvolume's root
)

type volArgs struct {
	fd   int64
	name [4088]byte
}

type volArgsV2 struct {
	fd, transid, flags uint64
	unused             [4]uint64
	name               [4040]byte
}

type idLookupArgs struct {
	tree, object uint64
	name         [4080]byte
}

type limitArgs struct {
	qgroup                                      uint64
	flags, maxRefer, maxExcl, rsvRefer, rsvExcl uint64
}

type searchArgs struct {
	tree                 uint64
	minObject, maxObject uint64
	minOffset, maxOffset uint64
	minTrans, maxTrans   uint64
	minType, maxType     uint32
	items, _             uint32
	_                    [4]uint64
	found                [3992]byte
}

func createSubvolume(dir *os.File, name string) error {
	var a volArgsV2
	copy(a.name[:len(a.name)-1], name)
	return ioctl(dir, iocSubvolCreate, unsafe.Pointer(&a))
}

// snapshotSubvolume makes the subvolume name of what source holds. The kernel
// first writes what source has in memory, which takes as long as that is much.
func snapshotSubvolume(dir *os.File, name, source string) error {
	from, err := os.Open(source)
	if err != nil {
		return err
	}
	defer from.Close()
	a := volArgsV2{fd: uint64(from.Fd())}
	copy(a.name[:len(a.name)-1], name)
	return ioctl(dir, iocSnapCreate, unsafe.Pointer(&a))
}

// destroySubvolume removes the subvolume, or the plain directory, of that name.
func destroySubvolume(dir *os.File, name string) error {
	var a volArgs
	copy(a.name[:len(a.name)-1], name)
	err := ioctl(dir, iocSnapDestroy, unsafe.Pointer(&a))
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOTDIR) {
		return os.RemoveAll(filepath.Join(dir.Name(), name))
	}
	return err
}

// subvolumeID is the number of the subvolume at path.
func subvolumeID(path string) (uint64, error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	a := idLookupArgs{object: firstSubvolume}
	err = ioctl(f, iocIDLookup, unsafe.Pointer(&a))
	return a.tree, err
}

// setLimit bounds what the subvolume at path may hold; 0 removes the bound.
func setLimit(path string, limit int64) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := limitQuotaGroup(f, 0, limit); err != nil { // 0 is the subvolume's own
		return fmt.Errorf("limit disk %s: %w", path, err)
	}
	return nil
}

func limitQuotaGroup(f *os.File, id uint64, limit int64) error {
	a := limitArgs{qgroup: id, flags: limitReferenced, maxRefer: uint64(limit)}
	if limit <= 0 {
		a.maxRefer = ^uint64(0) // CLEAR_VALUE
	}
	return ioctl(f, iocQgroupLimit, unsafe.Pointer(&a))
}

// createQuotaGroup makes the group unless it is there.
func createQuotaGroup(f *os.File, id uint64) error {
	a := struct{ create, qgroup uint64 }{1, id}
	err := ioctl(f, iocQgroupCreate, unsafe.Pointer(&a))
	if errors.Is(err, unix.EEXIST) {
		return nil
	}
	return err
}

// assignQuotaGroup counts what the member takes to the group, too.
func assignQuotaGroup(f *os.File, member, group uint64) error {
	a := struct{ assign, member, group uint64 }{1, member, group}
	return ioctl(f, iocQgroupAssign, unsafe.Pointer(&a))
}

// memberships tells of each subvolume in a group of ours which group that is.
func memberships(f *os.File) (map[uint64]uint64, error) {
	groups := make(map[uint64]uint64)
	const first, last = groupLevel << 48, groupLevel<<48 | (1<<48 - 1)
	next := searchArgs{
		tree: quotaTree, minObject: first, maxObject: last, minType: relationItemType, maxType: relationItemType,
		maxOffset: ^uint64(0), maxTrans: ^uint64(0), items: ^uint32(0),
	}
	for {
		a := next
		if err := ioctl(f, iocTreeSearch, unsafe.Pointer(&a)); err != nil {
			return nil, fmt.Errorf("search the quota groups: %w", err)
		}
		if a.items == 0 {
			return groups, nil
		}
		found := a.found[:]
		for range a.items {
			// struct btrfs_ioctl_search_header, then the item, which is empty here
			group, member := binary.NativeEndian.Uint64(found[8:]), binary.NativeEndian.Uint64(found[16:])
			if binary.NativeEndian.Uint32(found[24:]) == relationItemType {
				groups[member] = group
			}
			found = found[32+binary.NativeEndian.Uint32(found[28:]):]
			next.minObject, next.minOffset = group, member+1
		}
	}
}

func destroyQuotaGroup(dir *os.File, id uint64) error {
	a := struct{ create, qgroup uint64 }{0, id}
	return ioctl(dir, iocQgroupCreate, unsafe.Pointer(&a))
}

// enableQuota turns quotas on, simple ones where the kernel has them. Quotas
// that are on already stay as they are.
func enableQuota(dir *os.File) (mode string, err error) {
	if uuid, err := filesystemID(dir); err == nil {
		if b, err := os.ReadFile(filepath.Join("/sys/fs/btrfs", uuid, "qgroups", "mode")); err == nil {
			if mode := strings.TrimSpace(string(b)); mode != "disabled" {
				return mode, nil
			}
		}
	}
	for _, try := range []struct {
		cmd  uint64
		mode string
	}{{quotaEnableSimple, "squota"}, {quotaEnable, "qgroup"}} {
		a := struct{ cmd, status uint64 }{try.cmd, 0}
		if err = ioctl(dir, iocQuotaCtl, unsafe.Pointer(&a)); err == nil {
			return try.mode, nil
		}
		if !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.EOPNOTSUPP) {
			break
		}
	}
	return "", err
}

// filesystemID is the UUID under which sysfs shows dir's filesystem.
func filesystemID(dir *os.File) (string, error) {
	var a [1024]byte
	if err := ioctl(dir, iocFSInfo, unsafe.Pointer(&a)); err != nil {
		return "", fmt.Errorf("filesystem of %s: %w", dir.Name(), err)
	}
	u := a[16:32] // after max_id and num_devices
	return fmt.Sprintf("%08x-%04x-%04x-%04x-%012x", binary.BigEndian.Uint32(u), binary.BigEndian.Uint16(u[4:]),
		binary.BigEndian.Uint16(u[6:]), binary.BigEndian.Uint16(u[8:]), u[10:]), nil
}

// resizeDevice lets the filesystem use so many bytes of its first device, or
// "max" for all of it.
func resizeDevice(dir *os.File, size string) error {
	var a volArgs
	copy(a.name[:len(a.name)-1], "1:"+size)
	return ioctl(dir, iocResize, unsafe.Pointer(&a))
}

func ioctl(f *os.File, req uintptr, arg unsafe.Pointer) error {
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, f.Fd(), req, uintptr(arg)); errno != 0 {
		return errno
	}
	return nil
}
