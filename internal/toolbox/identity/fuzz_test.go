package identity

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// FuzzFiles looks for files of accounts that give a user an id that none of their
// entries has.
func FuzzFiles(f *testing.F) {
	f.Add("root:x:0:0::/root:/bin/sh\nu:x:1000:1000::/home/u:\n", "users:x:100:u,v\n", "u:users")
	f.Add("u:x:zzz:0::/:\n", "g:x:-1:u\n", "u")
	f.Add("u:x:99999999999:1::/:\n", "", "1000")
	f.Add("+:::::\n#c\n\n:::", "::", "")
	f.Fuzz(func(t *testing.T, passwd, group, spec string) {
		etc := t.TempDir()
		for name, text := range map[string]string{"passwd": passwd, "group": group} {
			if err := os.WriteFile(filepath.Join(etc, name), []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		u, err := New(etc).Lookup(spec)
		if err != nil {
			return
		}
		name, _, _ := strings.Cut(spec, ":")
		written := func(text string, id uint32) bool {
			return slices.ContainsFunc(strings.FieldsFunc(text, func(r rune) bool { return r == ':' || r == '\n' || r == '\r' }), func(field string) bool {
				n, err := strconv.ParseUint(field, 10, 32)
				return err == nil && uint32(n) == id
			})
		}
		root := name == "" || name == "root"
		if !written(passwd+"\n"+spec, u.UID) && !(u.UID == 0 && root) {
			t.Fatalf("%q is the user %d, whom nothing names", spec, u.UID)
		}
		for _, g := range append(u.Groups, u.GID) {
			if !written(passwd+"\n"+group+"\n"+spec, g) && g != 0 {
				t.Fatalf("%q has the group %d, which nothing names", spec, g)
			}
		}
		if u.Home == "" {
			t.Fatalf("%q has no home", spec)
		}
	})
}
