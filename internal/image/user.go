package image

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"

	"github.com/moby/sys/user"
	"golang.org/x/sys/unix"

	"github.com/opendaytona/daytona/internal/userid"
)

// maxAccounts is how much is read of a file of users or groups.
const maxAccounts = 4 << 20

// accounts opens a file of users or groups; where there is none it is empty.
func (i *Image) accounts(name string) (io.ReadCloser, error) {
	f, err := i.open(name, unix.O_RDONLY|unix.O_NONBLOCK)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrInvalid) {
		return io.NopCloser(eof{}), nil
	}
	if err != nil {
		return nil, err
	}
	return struct {
		io.Reader
		io.Closer
	}{io.LimitReader(f, maxAccounts), f}, nil
}

type eof struct{}

func (eof) Read([]byte) (int, error) { return 0, io.EOF }

// defaultUser decides who runs: the image's USER, else "daytona" where the
// image has such a user, else root.
func (i *Image) defaultUser() (string, error) {
	if i.Config.User != "" {
		return i.Config.User, nil
	}
	passwd, err := i.accounts("/etc/passwd")
	if err != nil {
		return "", err
	}
	defer passwd.Close()
	found, err := user.ParsePasswdFilter(passwd, func(u user.User) bool { return u.Name == "daytona" })
	if err != nil || len(found) == 0 {
		return "root", nil //nolint:nilerr // a file that nobody can read has no such user
	}
	return "daytona", nil
}

// ErrUser is an image that runs as a user whom no sandbox has.
var ErrUser = errors.New("the user that it runs as cannot run in a sandbox")

// checkUser fails when the default user, or a group of it, is none that a
// sandbox has. Errors: ErrUser.
func (i *Image) checkUser() error {
	passwd, err := i.accounts("/etc/passwd")
	if err != nil {
		return err
	}
	defer passwd.Close()
	group, err := i.accounts("/etc/group")
	if err != nil {
		return err
	}
	defer group.Close()
	u, err := user.GetExecUser(i.DefaultUser, nil, passwd, group)
	if errors.Is(err, user.ErrRange) {
		return fmt.Errorf("%w: its USER is %s, and %s", ErrUser, i.DefaultUser, userid.Advice)
	}
	if err != nil {
		return nil //nolint:nilerr // who is not there yet can be added, and sandboxes say so
	}
	for _, id := range slices.Concat([]int{u.Uid, u.Gid}, u.Sgids) {
		if !userid.Inside(id) {
			return fmt.Errorf("%w: its USER %s has the id %d, and %s", ErrUser, i.DefaultUser, id, userid.Advice)
		}
	}
	return nil
}
