package identity

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

const (
	passwd = "root:x:0:0:root:/root:/bin/bash\n# comment:x:1:1::/:\ndaytona:x:1000:1000::/home/daytona:/bin/zsh\nbroken\nnohome:x:1001:7::\nbad:x:abc:1::/:/bin/sh\n"
	group  = "root:x:0:\ndocker:x:998:other,daytona\nsudo:x:27:daytona\ndaytona:x:1000:daytona\n"
)

func database(t *testing.T) (*Database, string) {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{"passwd": passwd, "group": group} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return New(dir), dir
}

func TestLookup(t *testing.T) {
	d, _ := database(t)
	daytona := User{Name: "daytona", UID: 1000, GID: 1000, Groups: []uint32{1000, 998, 27}, Home: "/home/daytona", Shell: "/bin/zsh"}
	withGroup := daytona
	withGroup.GID, withGroup.Groups = 998, nil
	for spec, want := range map[string]User{
		"":                {Name: "root", Groups: []uint32{0}, Home: "/root", Shell: "/bin/bash"},
		"0":               {Name: "root", Groups: []uint32{0}, Home: "/root", Shell: "/bin/bash"},
		"daytona":         daytona,
		"1000":            daytona,
		"1000:docker":     withGroup,
		"daytona:998":     withGroup,
		"daytona:":        daytona,
		"nohome":          {Name: "nohome", UID: 1001, GID: 7, Groups: []uint32{7}, Home: "/"},
		"4242":            {Name: "4242", UID: 4242, Home: "/"},
		"4242:5000":       {Name: "4242", UID: 4242, GID: 5000, Home: "/"},
		"4294967295:sudo": {Name: "4294967295", UID: 4294967295, GID: 27, Home: "/"},
	} {
		got, err := d.Lookup(spec)
		if err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%q: %+v, want %+v, error %v", spec, got, want, err)
		}
	}
}

func TestLookupOfUnknownNamesFails(t *testing.T) {
	d, _ := database(t)
	for _, spec := range []string{"nobody", "bad", "daytona:nogroup", "-1", "4294967296"} {
		if u, err := d.Lookup(spec); err == nil {
			t.Errorf("%q: %+v", spec, u)
		}
	}
}

func TestChangesAreSeenAtOnce(t *testing.T) {
	d, dir := database(t)
	if _, err := d.Lookup("new"); err == nil {
		t.Fatal("new exists")
	}
	if err := os.WriteFile(dir+"/passwd", []byte("new:x:5:5::/n:\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if u, err := d.Lookup("new"); err != nil || u.UID != 5 {
		t.Errorf("%+v %v", u, err)
	}
	if _, err := d.Lookup("daytona"); err == nil {
		t.Error("daytona is still there")
	}
}

func TestAnImageWithoutUsersStillHasNumbers(t *testing.T) {
	d := New(t.TempDir())
	if u, err := d.Lookup(""); err != nil || u.UID != 0 || u.Home != "/root" {
		t.Errorf("%+v %v", u, err)
	}
	if name := d.UserName(7); name != "7" {
		t.Error(name)
	}
}

func TestNames(t *testing.T) {
	d, _ := database(t)
	if u, g := d.UserName(1000), d.GroupName(998); u != "daytona" || g != "docker" {
		t.Error(u, g)
	}
}
