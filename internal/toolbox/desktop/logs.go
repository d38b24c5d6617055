package desktop

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/opendaytona/daytona/internal/toolbox/wire"
)

// maxLog is the size at which a log begins anew when its program does.
const maxLog = 1 << 20

// dir has the logs and, in run, the sockets.
func (s *Service) dir() string { return filepath.Join(s.launcher.Home(), ".daytona", "computeruse") }

// logs are the descriptors of a program.
type logs struct{ null, out, err *os.File }

func (l logs) close() {
	for _, f := range []*os.File{l.null, l.out, l.err} {
		if f != nil {
			f.Close()
		}
	}
}

// openLogs opens them with the user's rights, who may have put anything there.
func (s *Service) openLogs(name string) (l logs, err error) {
	err = s.launcher.AsUser(func() error {
		if err := os.MkdirAll(s.dir(), 0o755); err != nil {
			return err
		}
		var errs [3]error
		l.null, errs[0] = os.Open(os.DevNull)
		l.out, errs[1] = openLog(filepath.Join(s.dir(), name+".log"))
		l.err, errs[2] = openLog(filepath.Join(s.dir(), name+".err"))
		return errors.Join(errs[:]...)
	})
	if err != nil {
		l.close()
		return logs{}, fmt.Errorf("open the logs of %s: %w", name, err)
	}
	return l, nil
}

func openLog(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_RDWR|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0o644)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = wire.Bad("%s is no regular file: remove it", path)
	}
	if err == nil && info.Size() > maxLog {
		err = f.Truncate(0)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// readLog opens a log to be read; a missing one is an empty one.
func (s *Service) readLog(name string) (f *os.File, size int64, err error) {
	err = s.launcher.AsUser(func() error {
		f, err = os.OpenFile(filepath.Join(s.dir(), name), os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
		return err
	})
	if errors.Is(err, fs.ErrNotExist) {
		return nil, 0, nil
	}
	if err != nil {
		return nil, 0, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = wire.Bad("%s is no regular file: remove it", f.Name())
	}
	if err != nil {
		f.Close()
		return nil, 0, err
	}
	return f, info.Size(), nil
}

// logsOf answers with a whole log as one string.
func (s *Service) logsOf(member, suffix string) func(http.ResponseWriter, *http.Request) error {
	return func(w http.ResponseWriter, r *http.Request) error {
		name, err := named(r)
		if err != nil {
			return err
		}
		f, size, err := s.readLog(name + suffix)
		if err != nil {
			return err
		}
		var text io.Reader = strings.NewReader("")
		if f != nil {
			defer f.Close()
			text = io.LimitReader(f, size) // it grows
		}
		w.Header().Set("Content-Type", "application/json; charset=utf-8")
		fmt.Fprintf(w, `{"processName":%q,%q:`, name, member)
		if err := wire.Text(w, text); err != nil {
			panic(http.ErrAbortHandler) // the answer has begun: the client sees that it is cut
		}
		_, _ = io.WriteString(w, "}\n")
		return nil
	}
}

// tail is the end of a log.
func (s *Service) tail(name string, most int64) (string, error) {
	f, size, err := s.readLog(name)
	if err != nil || f == nil {
		return "", err
	}
	defer f.Close()
	b := make([]byte, min(size, most))
	n, err := f.ReadAt(b, size-int64(len(b)))
	if err != nil && !errors.Is(err, io.EOF) {
		return "", err
	}
	return strings.ToValidUTF8(string(b[:n]), ""), nil
}
