package git

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/opendaytona/daytona/internal/toolbox/capture"
	"github.com/opendaytona/daytona/internal/toolbox/launch"
	"github.com/opendaytona/daytona/internal/toolbox/spool"
	"github.com/opendaytona/daytona/internal/toolbox/wire"
)

// command is one run of git.
type command struct {
	args   []string
	repo   *repository // nil for what needs none
	stdin  string
	env    map[string]string
	secret *secret // what git may ask for; nil leaves it to the user's own helpers
}

// result of a run that came to an end. The caller closes it.
type result struct {
	code   int
	stdout spool.Buffer
	stderr capture.Tail
	killed string // why, when the kernel did it for want of memory
}

func (r *result) Close() { r.stdout.Close() }

// text is the output, without the end of its last line.
func (r *result) text() (string, error) {
	b, err := io.ReadAll(r.stdout.Seal())
	if err != nil {
		return "", fmt.Errorf("read git's output: %w", err)
	}
	return strings.TrimSuffix(string(b), "\n"), nil
}

// lines of the output.
func (r *result) lines() ([]string, error) {
	text, err := r.text()
	if err != nil || text == "" {
		return nil, err
	}
	return strings.Split(text, "\n"), nil
}

// settings hold for every run. What a repository or the user has configured must
// not start programs that outlive the request (fsmonitor, housekeeping), run
// hooks, or colour the words that failure.go reads. Ownership is no question: the
// sandbox's user asked for this directory by name.
var settings = []string{
	"core.hooksPath=/dev/null",
	"core.fsmonitor=false",
	"core.quotePath=false",
	"safe.directory=*",
	"gc.autoDetach=false",
	"maintenance.autoDetach=false",
	"advice.detachedHead=false",
	"color.ui=false", "color.advice=false", "color.push=false", "color.remote=false", "color.transport=false",
}

var environment = map[string]string{
	"LC_ALL": "C", "LANGUAGE": "", // failure.go knows the words of no other language
	"GIT_TERMINAL_PROMPT": "0", "SSH_ASKPASS_REQUIRE": "never",
	"GIT_EDITOR": ":", "GIT_SEQUENCE_EDITOR": ":",
}

// foreign are variables by which the sandbox's environment would speak of another
// repository, another author or another time than the request does.
var foreign = []string{
	"GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_INDEX_VERSION", "GIT_OBJECT_DIRECTORY", "GIT_ALTERNATE_OBJECT_DIRECTORIES",
	"GIT_COMMON_DIR", "GIT_NAMESPACE", "GIT_PREFIX", "GIT_GRAFT_FILE", "GIT_SHALLOW_FILE", "GIT_IMPLICIT_WORK_TREE", "GIT_CONFIG",
	"GIT_CONFIG_PARAMETERS", "GIT_NO_REPLACE_OBJECTS", "GIT_REPLACE_REF_BASE", "GIT_INTERNAL_SUPER_PREFIX", "GIT_QUARANTINE_PATH",
	"GIT_GLOB_PATHSPECS", "GIT_NOGLOB_PATHSPECS", "GIT_ICASE_PATHSPECS", "GIT_LITERAL_PATHSPECS",
	"GIT_AUTHOR_NAME", "GIT_AUTHOR_EMAIL", "GIT_AUTHOR_DATE", "GIT_COMMITTER_NAME", "GIT_COMMITTER_EMAIL", "GIT_COMMITTER_DATE",
	"GIT_REFLOG_ACTION", "GIT_EXTERNAL_DIFF", "GIT_DIFF_OPTS",
}

// tracing are the beginnings of the names of variables that make git write down
// what it sends, to its standard error or to files.
var tracing = []string{"GIT_TRACE", "GIT_TR2", "GIT_CURL_VERBOSE", "GIT_REDACT"}

func without(name string) bool {
	return slices.Contains(foreign, name) || slices.ContainsFunc(tracing, func(p string) bool { return strings.HasPrefix(name, p) })
}

// must runs git, and makes an answer of its words when it fails. The caller
// closes the result unless there is an error.
func (s *Service) must(ctx context.Context, c command) (*result, error) {
	r, err := s.run(ctx, c)
	if err != nil {
		return nil, err
	}
	if r.code != 0 {
		defer r.Close()
		return nil, failure(c, r)
	}
	return r, nil
}

// do is must for commands whose output nobody needs.
func (s *Service) do(ctx context.Context, c command) error {
	r, err := s.must(ctx, c)
	if err == nil {
		r.Close()
	}
	return err
}

// ask is must for commands whose output is short.
func (s *Service) ask(ctx context.Context, c command) (string, error) {
	r, err := s.must(ctx, c)
	if err != nil {
		return "", err
	}
	defer r.Close()
	return r.text()
}

// look is ask for commands whose exit code is their answer; ok says that it is 0.
func (s *Service) look(ctx context.Context, c command) (line string, ok bool, err error) {
	r, err := s.run(ctx, c)
	if err != nil {
		return "", false, err
	}
	defer r.Close()
	line, err = r.text()
	return line, r.code == 0, err
}

// run runs git to its end. When ctx ends, git and all that it started is killed.
// The caller closes the result unless there is an error.
func (s *Service) run(ctx context.Context, c command) (*result, error) {
	program := s.launcher.Find("git")
	if program == "" {
		return nil, wire.Bad("this sandbox has no git: install it (apt-get install git, apk add git, dnf install git), or use a snapshot whose image has it")
	}
	u, err := s.launcher.User()
	if err != nil {
		return nil, err
	}
	var files descriptors
	defer files.close()
	stdin, feed, err := capture.Feed()
	if err != nil {
		return nil, err
	}
	files.add(stdin)
	defer feed.Close()
	out, outEnd, err := capture.Pipe(u.UID)
	if err != nil {
		return nil, err
	}
	files.add(outEnd)
	errs, errsEnd, err := capture.Pipe(u.UID)
	if err != nil {
		out.Close()
		return nil, err
	}
	files.add(errsEnd)
	if c.secret != nil {
		asked, end, err := c.secret.answer()
		if err != nil {
			out.Close()
			errs.Close()
			return nil, err
		}
		defer asked.Close()
		files.add(end)
	}
	launched := launch.Command{Argv: c.argv(program), Env: c.environ(), Without: c.without(), Files: files.inherited()}
	if c.repo != nil {
		launched.Dir = c.repo.path
	}
	toll := s.launcher.Toll()
	p, err := s.launcher.Start(launched)
	if err != nil {
		out.Close()
		errs.Close()
		return nil, err
	}
	files.close()
	r := &result{}
	stdout, stderr := capture.Start(out, r.stdout.Append), capture.Start(errs, r.stderr.Append)
	go func() {
		_, _ = io.WriteString(feed, c.stdin) // git says itself what it lacks
		feed.Close()
	}()
	select {
	case <-p.Done():
	case <-ctx.Done():
		p.KillTree(0)
		r.Close()
		return nil, wire.Errorf(http.StatusRequestTimeout, wire.RequestTimeout, "the client went away and git was ended")
	}
	stdout.Settle()
	stderr.Settle()
	r.code = p.ExitCode()
	r.killed = toll.Explain(r.code)
	r.stdout.Seal()
	if err := r.stdout.Complete(); err != nil {
		r.Close()
		return nil, fmt.Errorf("keep git's output: %w", err)
	}
	return r, nil
}

func (c command) argv(program string) []string {
	argv := []string{program, "--literal-pathspecs"}
	for _, setting := range settings {
		argv = append(argv, "-c", setting)
	}
	if c.secret != nil {
		argv = append(argv, c.secret.options()...)
	}
	if c.repo != nil && c.repo.bare {
		argv = append(argv, "--bare")
	}
	return append(argv, c.args...)
}

func (c command) environ() map[string]string {
	env := maps.Clone(environment)
	if c.repo != nil {
		// Named, it is not searched for in the directories above.
		env["GIT_DIR"] = c.repo.gitDir
	}
	maps.Copy(env, c.env)
	return env
}

func (c command) without() func(string) bool {
	if c.secret == nil {
		return without
	}
	return func(name string) bool { return without(name) || name == "GIT_ASKPASS" || name == "SSH_ASKPASS" }
}

// descriptors are those of a child, from 0 on.
type descriptors []int

func (d *descriptors) add(fd int) { *d = append(*d, fd) }

func (d *descriptors) close() {
	for _, fd := range *d {
		unix.Close(fd)
	}
	*d = nil
}

func (d descriptors) inherited() []uintptr {
	all := make([]uintptr, len(d))
	for i, fd := range d {
		all[i] = uintptr(fd)
	}
	return all
}
