// Package identity finds users and groups in the sandbox's own /etc/passwd and
// /etc/group, which may change while it runs. It imports only the standard
// library.
package identity

import (
	"bufio"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// User is whom a process runs as.
type User struct {
	Name   string
	UID    uint32
	GID    uint32
	Groups []uint32 // supplementary
	Home   string
	Shell  string // login shell, may be ""
}

// Database reads the two files again when they have changed.
type Database struct {
	passwd table
	group  table
}

// New makes a database of the files in etc.
func New(etc string) *Database {
	return &Database{passwd: table{path: etc + "/passwd"}, group: table{path: etc + "/group"}}
}

// Lookup finds the user of a "user[:group]" of names or numbers; "" is root.
// A number needs no entry.
func (d *Database) Lookup(spec string) (User, error) {
	name, group, hasGroup := strings.Cut(spec, ":")
	if name == "" {
		name = "0"
	}
	u, err := d.user(name)
	if err != nil {
		return User{}, err
	}
	if hasGroup && group != "" {
		if u.GID, err = d.GID(group); err != nil {
			return User{}, err
		}
		u.Groups = nil // as with docker's USER: a group asked for stands alone
	}
	return u, nil
}

func (d *Database) user(name string) (User, error) {
	for _, line := range d.passwd.lines() {
		if len(line) < 6 || (line[0] != name && line[2] != name) {
			continue
		}
		uid, err1 := strconv.ParseUint(line[2], 10, 32)
		gid, err2 := strconv.ParseUint(line[3], 10, 32)
		if err1 != nil || err2 != nil {
			continue
		}
		u := User{Name: line[0], UID: uint32(uid), GID: uint32(gid), Home: line[5]}
		if len(line) > 6 {
			u.Shell = line[6]
		}
		if u.Home == "" {
			u.Home = "/"
		}
		u.Groups = d.memberships(u)
		return u, nil
	}
	if name == "root" { // images of one program have no passwd, but a root
		return User{Name: name, Home: "/root"}, nil
	}
	uid, err := strconv.ParseUint(name, 10, 32)
	if err != nil {
		return User{}, fmt.Errorf("user %q is not in the sandbox's /etc/passwd", name)
	}
	home := "/"
	if uid == 0 {
		home = "/root"
	}
	return User{Name: name, UID: uint32(uid), Home: home}, nil
}

func (d *Database) memberships(u User) []uint32 {
	groups := []uint32{u.GID}
	for _, line := range d.group.lines() {
		if len(line) < 4 || !slices.Contains(strings.Split(line[3], ","), u.Name) {
			continue
		}
		if gid, err := strconv.ParseUint(line[2], 10, 32); err == nil && !slices.Contains(groups, uint32(gid)) {
			groups = append(groups, uint32(gid))
		}
	}
	return groups
}

// UID finds a user's number.
func (d *Database) UID(name string) (uint32, error) {
	u, err := d.user(name)
	return u.UID, err
}

// GID finds a group's number.
func (d *Database) GID(name string) (uint32, error) {
	for _, line := range d.group.lines() {
		if len(line) > 2 && line[0] == name {
			if gid, err := strconv.ParseUint(line[2], 10, 32); err == nil {
				return uint32(gid), nil
			}
		}
	}
	gid, err := strconv.ParseUint(name, 10, 32)
	if err != nil {
		return 0, fmt.Errorf("group %q is not in the sandbox's /etc/group", name)
	}
	return uint32(gid), nil
}

// UserName is the name of uid, or its number.
func (d *Database) UserName(uid uint32) string { return d.passwd.name(uid) }

// GroupName is the name of gid, or its number.
func (d *Database) GroupName(gid uint32) string { return d.group.name(gid) }

// table is a colon-separated file, kept until it changes.
type table struct {
	path string

	mu      sync.Mutex
	checked time.Time
	modTime time.Time
	size    int64
	parsed  [][]string
	names   map[uint32]string
}

func (t *table) lines() [][]string {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.refresh()
	return t.parsed
}

func (t *table) name(id uint32) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	// A listing asks once per file: look at the disk at most every 100 ms.
	if time.Since(t.checked) > 100*time.Millisecond {
		t.refresh()
	}
	if n, ok := t.names[id]; ok {
		return n
	}
	return strconv.FormatUint(uint64(id), 10)
}

func (t *table) refresh() {
	t.checked = time.Now()
	info, err := os.Stat(t.path)
	if err != nil || !info.Mode().IsRegular() {
		t.parsed, t.names, t.modTime = nil, nil, time.Time{}
		return
	}
	// A change within the clock's tick can keep both; do not trust a file that young.
	if info.ModTime().Equal(t.modTime) && info.Size() == t.size && t.checked.Sub(t.modTime) > time.Second {
		return
	}
	f, err := os.Open(t.path)
	if err != nil {
		return
	}
	defer f.Close()
	t.modTime, t.size = info.ModTime(), info.Size()
	t.parsed, t.names = nil, map[uint32]string{}
	for s := bufio.NewScanner(f); s.Scan(); {
		line := strings.Split(s.Text(), ":")
		if len(line) < 3 || strings.HasPrefix(line[0], "#") {
			continue
		}
		t.parsed = append(t.parsed, line)
		if id, err := strconv.ParseUint(line[2], 10, 32); err == nil {
			if _, seen := t.names[uint32(id)]; !seen {
				t.names[uint32(id)] = line[0]
			}
		}
	}
}
