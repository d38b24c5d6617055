package buildcontext

import (
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	"github.com/moby/buildkit/frontend/dockerfile/shell"
)

// SyntaxError is a Dockerfile that cannot be read.
type SyntaxError struct {
	Line int // from 1; 0 when no line is to blame
	Err  error
}

// Error implements error.
func (e *SyntaxError) Error() string {
	if e.Line == 0 {
		return e.Err.Error()
	}
	return fmt.Sprintf("line %d: %v", e.Line, e.Err)
}

// Unwrap returns what is wrong.
func (e *SyntaxError) Unwrap() error { return e.Err }

func newSyntaxError(err error) error {
	e := &SyntaxError{Err: err}
	var at *parser.LocationError
	if errors.As(err, &at) && len(at.Locations) > 0 && len(at.Locations[0]) > 0 {
		e.Line, e.Err = at.Locations[0][0].Start.Line, errors.Unwrap(at)
	}
	return e
}

// everything is the source of who copies the whole context.
const everything = "."

// Copied lists what the Dockerfile takes from its context by COPY, ADD and bind
// mounts: patterns of paths with slashes, relative to the context. Those of
// other stages, images, URLs and heredocs are none of it. Where a name comes of
// a variable that only the base image knows, it is the whole context. A fragment
// is a Dockerfile's rest, which goes on after a FROM. Errors: *SyntaxError.
func Copied(dockerfile string, fragment bool) ([]string, error) {
	if fragment {
		// In the first line, so that errors have the right numbers.
		dockerfile = "FROM scratch\n" + dockerfile
	}
	parsed, err := parser.Parse(strings.NewReader(dockerfile))
	if err != nil {
		return nil, fragmentLine(newSyntaxError(err), fragment)
	}
	stages, global, err := instructions.Parse(parsed.AST, nil)
	if err != nil {
		return nil, fragmentLine(newSyntaxError(err), fragment)
	}
	r := &reader{lex: shell.NewLex(parsed.EscapeToken), global: map[string]string{}, sources: map[string]bool{}}
	for _, arg := range global {
		for _, a := range arg.Args {
			if a.Value != nil {
				r.global[a.Key], _, _ = r.lex.ProcessWord(*a.Value, variables{r.global})
			}
		}
	}
	known := make([]*scope, len(stages))
	for i, stage := range stages {
		s := &scope{args: map[string]string{}, env: map[string]string{}}
		if base, ok := instructions.HasStage(stages[:i], stage.BaseName); ok {
			s.args, s.env = maps.Clone(known[base].args), maps.Clone(known[base].env)
		}
		known[i] = s
		for _, command := range stage.Commands {
			if err := r.read(s, command); err != nil {
				return nil, &SyntaxError{Line: command.Location()[0].Start.Line, Err: err}
			}
		}
	}
	if r.sources[everything] {
		return []string{everything}, nil
	}
	return slices.Sorted(maps.Keys(r.sources)), nil
}

func fragmentLine(err error, fragment bool) error {
	var e *SyntaxError
	if fragment && errors.As(err, &e) && e.Line > 1 {
		e.Line--
	}
	return err
}

// reader collects the sources of a Dockerfile.
type reader struct {
	lex     *shell.Lex
	global  map[string]string // ARGs before the first FROM
	sources map[string]bool
}

// scope is what a stage knows of variables so far.
type scope struct{ args, env map[string]string }

// variables are a scope's, the later maps winning (shell.EnvGetter).
type variables []map[string]string

// Get implements shell.EnvGetter.
func (v variables) Get(name string) (string, bool) {
	for _, m := range slices.Backward(v) {
		if value, ok := m[name]; ok {
			return value, true
		}
	}
	return "", false
}

// Keys implements shell.EnvGetter.
func (v variables) Keys() (names []string) {
	for _, m := range v {
		names = append(names, slices.Collect(maps.Keys(m))...)
	}
	return names
}

func (r *reader) read(s *scope, command instructions.Command) error {
	unknown := false
	expand := func(word string) (string, error) {
		text, missing, err := r.lex.ProcessWord(word, variables{s.args, s.env})
		unknown = unknown || len(missing) > 0
		return text, err
	}
	switch c := command.(type) {
	case *instructions.ArgCommand:
		if err := c.Expand(expand); err != nil {
			return err
		}
		for _, a := range c.Args {
			if value, ok := r.global[a.Key]; ok && a.Value == nil {
				s.args[a.Key] = value
			} else if a.Value != nil {
				s.args[a.Key] = *a.Value
			}
		}
	case *instructions.EnvCommand:
		if err := c.Expand(expand); err != nil {
			return err
		}
		for _, e := range c.Env {
			if s.env[e.Key] = e.Value; unknown {
				delete(s.env, e.Key)
				delete(s.args, e.Key)
			}
		}
	case *instructions.CopyCommand:
		if c.From != "" {
			return nil
		}
		return r.copied(c.SourcePaths, expand, &unknown)
	case *instructions.AddCommand:
		return r.copied(c.SourcePaths, expand, &unknown)
	case *instructions.RunCommand:
		if err := c.Expand(expand); err != nil {
			return err
		}
		for _, m := range instructions.GetMounts(c) {
			if m.Type == instructions.MountTypeBind && m.From == "" {
				r.add(m.Source, unknown)
			}
		}
	}
	return nil
}

func (r *reader) copied(sources []string, expand instructions.SingleWordExpander, unknown *bool) error {
	for _, source := range sources {
		*unknown = false
		source, err := expand(source)
		if err != nil {
			return err
		}
		r.add(source, *unknown)
	}
	return nil
}

// add adds a source, as Docker reads it: nothing leads out of the context.
func (r *reader) add(source string, unknown bool) {
	source = strings.TrimPrefix(path.Clean("/"+strings.ReplaceAll(source, `\`, `/`)), "/")
	if source == "" || unknown {
		source = everything
	}
	r.sources[source] = true
}
