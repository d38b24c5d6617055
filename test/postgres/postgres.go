// Package postgres starts a PostgreSQL of its own for tests: the distribution's,
// as an ordinary user, in a temporary directory, reached by a socket there. It ends
// with its test.
package postgres

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver
)

// startTime bounds how long the server may take until it answers.
const startTime = time.Minute

// Server is a PostgreSQL that runs.
type Server struct {
	Password string // of its user, which is in the URLs and must be nowhere else

	dir   string
	cmd   *exec.Cmd
	ended chan error
}

// Start starts one. With durable false it syncs nothing, which tests of the product
// do not see, and measurements would.
func Start(ctx context.Context, durable bool) (*Server, error) {
	initdb, err := program("initdb")
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "postgres-")
	if err != nil {
		return nil, err
	}
	s := &Server{Password: rand.Text(), dir: dir, ended: make(chan error, 1)}
	if err := s.start(ctx, initdb, durable); err != nil {
		return nil, errors.Join(fmt.Errorf("start PostgreSQL for tests: %w", err), s.Stop())
	}
	return s, nil
}

// program finds one where distributions have it, out of the PATH.
func program(name string) (string, error) {
	if path, err := exec.LookPath(name); err == nil {
		return path, nil
	}
	versions, _ := filepath.Glob("/usr/lib/postgresql/*/bin/" + name) // the pattern is valid
	slices.SortFunc(versions, func(a, b string) int { return len(a) - len(b) + strings.Compare(a, b) })
	if len(versions) == 0 {
		return "", fmt.Errorf("this test needs PostgreSQL's %s, which is not there: install the package postgresql (on macOS: brew install postgresql)", name)
	}
	return versions[len(versions)-1], nil
}

// ordinary is who runs it when root runs the tests: PostgreSQL refuses root.
func ordinary() (*syscall.Credential, error) {
	if os.Getuid() != 0 {
		return nil, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err := strconv.ParseUint(u.Uid, 10, 32)
		if err != nil {
			return nil, err
		}
		gid, err := strconv.ParseUint(u.Gid, 10, 32)
		if err != nil {
			return nil, err
		}
		return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
	}
	return nil, errors.New("there is no user postgres or nobody to run it as")
}

func (s *Server) start(ctx context.Context, initdb string, durable bool) error {
	who, err := ordinary()
	if err != nil {
		return err
	}
	password := filepath.Join(s.dir, "password")
	if err := os.WriteFile(password, []byte(s.Password), 0o600); err != nil {
		return err
	}
	if who != nil {
		for _, path := range []string{s.dir, password} {
			if err := os.Chown(path, int(who.Uid), int(who.Gid)); err != nil {
				return err
			}
		}
	}
	data := filepath.Join(s.dir, "data")
	initial := exec.CommandContext(ctx, initdb, "-D", data, "-U", "daytona", "-A", "scram-sha-256", "--pwfile", password, "-E", "UTF8", "--locale", "C.UTF-8", "--no-sync")
	initial.Dir, initial.SysProcAttr = s.dir, &syscall.SysProcAttr{Credential: who}
	if out, err := initial.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w: %s", err, out)
	}
	log, err := os.Create(filepath.Join(s.dir, "log"))
	if err != nil {
		return err
	}
	defer log.Close() //nolint:errcheck // nothing was written by it
	sync := "off"
	if durable {
		sync = "on"
	}
	s.cmd = exec.Command(filepath.Join(filepath.Dir(initdb), "postgres"), "-D", data, "-k", s.dir, "-c", "listen_addresses=",
		"-c", "fsync="+sync, "-c", "synchronous_commit="+sync, "-c", "full_page_writes="+sync, "-c", "max_connections=100")
	s.cmd.Dir, s.cmd.Stdout, s.cmd.Stderr = s.dir, log, log
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Credential: who}
	endWithParent(s.cmd.SysProcAttr)
	started := make(chan error)
	go func() {
		runtime.LockOSThread() // whose end is taken for the parent's
		err := s.cmd.Start()
		started <- err
		if err == nil {
			s.ended <- s.cmd.Wait()
		}
	}()
	if err := <-started; err != nil {
		s.cmd = nil
		return err
	}
	return s.awaitAnswer(ctx)
}

func (s *Server) awaitAnswer(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	db, err := sql.Open("pgx", s.URL("postgres"))
	if err != nil {
		return err
	}
	defer db.Close() //nolint:errcheck // it was only asked
	for {
		err := db.PingContext(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case ended := <-s.ended:
			s.ended <- ended
			said, _ := os.ReadFile(filepath.Join(s.dir, "log"))
			return fmt.Errorf("it ended: %v: %s", ended, said)
		case <-ctx.Done():
			return fmt.Errorf("it does not answer: %w", err)
		}
	}
}

// URL is a database's.
func (s *Server) URL(database string) string {
	u := url.URL{Scheme: "postgres", User: url.UserPassword("daytona", s.Password), Path: "/" + database, RawQuery: url.Values{"host": {s.dir}}.Encode()}
	return u.String()
}

// Create makes a database, a copy of another one, and returns its URL. An empty one
// is a copy of template0.
func (s *Server) Create(ctx context.Context, name, of string) (string, error) {
	db, err := sql.Open("pgx", s.URL("postgres"))
	if err != nil {
		return "", err
	}
	_, err = db.ExecContext(ctx, `CREATE DATABASE "`+name+`" TEMPLATE "`+of+`"`)
	return s.URL(name), errors.Join(err, db.Close())
}

// Drop removes a database that nobody uses.
func (s *Server) Drop(ctx context.Context, name string) error {
	db, err := sql.Open("pgx", s.URL("postgres"))
	if err != nil {
		return err
	}
	_, err = db.ExecContext(ctx, `DROP DATABASE "`+name+`"`)
	return errors.Join(err, db.Close())
}

// Stop ends it and removes all that it wrote.
func (s *Server) Stop() error {
	var err error
	if s.cmd != nil {
		err = s.cmd.Process.Signal(syscall.SIGQUIT) // at once: nobody needs its data any more
		if err == nil {
			<-s.ended
		}
	}
	return errors.Join(err, os.RemoveAll(s.dir))
}
