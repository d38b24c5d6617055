package image

import (
	"strconv"
	"strings"

	"github.com/moby/sys/user"
)

// Lacks names the user or group of a "user[:group]" that the image does not have,
// "" when it has both. A number needs no entry, and root is everywhere.
func (i *Image) Lacks(spec string) (missing string, err error) {
	name, group, _ := strings.Cut(spec, ":")
	if !isNumber(name) && name != "root" && name != "" {
		passwd, err := i.accounts("/etc/passwd")
		if err != nil {
			return "", err
		}
		defer passwd.Close()
		found, err := user.ParsePasswdFilter(passwd, func(u user.User) bool { return u.Name == name })
		if err != nil || len(found) == 0 {
			return "user " + strconv.Quote(name), err
		}
	}
	if !isNumber(group) && group != "" {
		groups, err := i.accounts("/etc/group")
		if err != nil {
			return "", err
		}
		defer groups.Close()
		found, err := user.ParseGroupFilter(groups, func(g user.Group) bool { return g.Name == group })
		if err != nil || len(found) == 0 {
			return "group " + strconv.Quote(group), err
		}
	}
	return "", nil
}

func isNumber(s string) bool {
	_, err := strconv.ParseUint(s, 10, 32)
	return err == nil
}
