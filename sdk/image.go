package daytona

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"al.essio.dev/pkg/shellescape"

	"github.com/opendaytona/daytona/api"
	"github.com/opendaytona/daytona/sdk/internal/buildcontext"
)

// Image is what to build an image of: a Dockerfile that is written by the
// methods, and the local files that it copies. Each method adds to the image and
// returns it. What cannot be added (a file that is not there) makes Err, and the
// creation that uses the image, fail.
//
// The text is that of the official SDKs, except where theirs would not be read
// as meant: quotes in the arguments of Entrypoint and Cmd, and spaces in the path
// of a requirements file.
type Image struct {
	dockerfile strings.Builder
	files      []func(context.Context, *buildcontext.Set) error
	err        error
}

// Err is what could not be added, the first of it. Errors: ErrNotFound for local
// files, ErrInvalid.
func (i *Image) Err() error { return i.err }

// Dockerfile is the text so far.
func (i *Image) Dockerfile() string { return i.dockerfile.String() }

func (i *Image) fail(err error) *Image {
	i.err = cmp.Or(i.err, err)
	return i
}

func (i *Image) line(format string, args ...any) *Image {
	if text := i.Dockerfile(); text != "" && !strings.HasSuffix(text, "\n") {
		i.dockerfile.WriteByte('\n') // a file's last line may lack it
	}
	fmt.Fprintf(&i.dockerfile, format+"\n", args...)
	return i
}

// Base begins with an image, whose name has a tag or digest.
func Base(image string) *Image { return new(Image).line("FROM %s", image) }

// micros are the series of Python and their last versions.
var micros = map[string]string{"3.9": "22", "3.10": "17", "3.11": "12", "3.12": "10", "3.13": "3"}

const latestPython = "3.13"

var pythonVersion = regexp.MustCompile(`^(3\.\d{1,2})(\.\d{1,2})?(rc\d*)?$`)

// DebianSlim begins with Debian, Python and a C compiler. The version is a
// series such as 3.12 (3.9 to 3.13), or one of its micro versions; "" is the
// latest series.
func DebianSlim(version string) *Image {
	version = cmp.Or(version, latestPython)
	i := new(Image)
	m := pythonVersion.FindStringSubmatch(version)
	if m == nil || micros[m[1]] == "" {
		return i.fail(invalid("There is no Python %q: use one of 3.9, 3.10, 3.11, 3.12 and 3.13.", version))
	}
	if m[2] == "" {
		version = m[1] + "." + micros[m[1]]
	}
	i.line("FROM python:%s-slim-bookworm", version)
	i.line("RUN apt-get update")
	i.line("RUN apt-get install -y gcc gfortran build-essential")
	i.line("RUN pip install --upgrade pip")
	return i.line("RUN echo 'debconf debconf/frontend select Noninteractive' | debconf-set-selections")
}

// FromDockerfile begins with the Dockerfile at path. What it copies by COPY, ADD
// and bind mounts is read from its directory, but for what .dockerignore or
// DOCKERFILE.dockerignore leaves out.
//
// Contexts name other places for it. A directory or file inside the Dockerfile's
// directory keeps its place there, and only those are read; any other directory
// is read in place of the Dockerfile's. A path of several is the first one's.
func FromDockerfile(dockerfile string, contexts ...string) *Image {
	i := new(Image)
	dockerfile, err := localPath(dockerfile)
	if err != nil {
		return i.fail(err)
	}
	if err := isFile("Dockerfile", dockerfile); err != nil {
		return i.fail(err)
	}
	text, err := os.ReadFile(dockerfile)
	if err != nil {
		return i.fail(localError("Dockerfile", dockerfile, err))
	}
	i.dockerfile.Write(text)
	copied, err := buildcontext.Copied(string(text), false)
	if err != nil {
		return i.fail(badDockerfile(dockerfile, err))
	}
	sources, err := sourcesOf(dockerfile, contexts)
	if err != nil {
		return i.fail(err)
	}
	i.files = append(i.files, func(ctx context.Context, s *buildcontext.Set) error { return s.AddCopied(ctx, copied, sources...) })
	return i
}

func badDockerfile(name string, err error) error {
	return invalid("%s cannot be read as a Dockerfile: %v.", name, err)
}

// sourcesOf are the directories that a Dockerfile copies from.
func sourcesOf(dockerfile string, contexts []string) (sources []buildcontext.Source, err error) {
	home, err := filepath.Abs(filepath.Dir(dockerfile))
	if err != nil {
		return nil, err
	}
	var inside []string
	for _, c := range contexts {
		c, err := localPath(c)
		if err != nil {
			return nil, err
		}
		abs, err := filepath.Abs(c)
		if err != nil {
			return nil, err
		}
		info, err := os.Stat(abs)
		if err != nil {
			return nil, localError("Context", c, err)
		}
		if rel, err := filepath.Rel(home, abs); err == nil && rel != "." && filepath.IsLocal(rel) {
			inside = append(inside, filepath.ToSlash(rel))
			continue
		}
		if !info.IsDir() {
			return nil, invalid("Context %s is a file outside the Dockerfile's directory: name the directory that it is copied from.", c)
		}
		sources = append(sources, buildcontext.Source{Dir: abs})
	}
	if len(sources) == 0 || len(inside) > 0 {
		sources = append([]buildcontext.Source{{Dir: home, Only: inside}}, sources...)
	}
	for n := range sources {
		if sources[n].Ignore, err = buildcontext.Ignored(dockerfile, sources[n].Dir); err != nil {
			return nil, invalid("%v.", err)
		}
	}
	return sources, nil
}

// AddLocalFile copies a file of this machine to a path in the image; one that
// ends in a slash is a directory.
func (i *Image) AddLocalFile(local, remote string) *Image {
	if strings.HasSuffix(remote, "/") {
		remote += filepath.Base(local)
	}
	local, err := localPath(local)
	if err == nil {
		err = isFile("Local file", local)
	}
	if err != nil {
		return i.fail(err)
	}
	name := i.add(local, false)
	return i.line("COPY [%s, %s]", quoteJSON(name), quoteJSON(remote))
}

// AddLocalDir copies what is in a directory of this machine to a directory in
// the image.
func (i *Image) AddLocalDir(local, remote string) *Image {
	local, err := localPath(local)
	if err != nil {
		return i.fail(err)
	}
	info, err := os.Stat(local)
	if err != nil {
		return i.fail(localError("Local directory", local, err))
	}
	if !info.IsDir() {
		return i.fail(invalid("Local directory %s is no directory: use AddLocalFile.", local))
	}
	name := i.add(local, true)
	return i.line("COPY [%s, %s]", quoteJSON(name), quoteJSON(remote))
}

// add takes a local file or directory into the context and returns its name there.
func (i *Image) add(local string, dir bool) string {
	name := contextName(local)
	i.files = append(i.files, func(ctx context.Context, s *buildcontext.Set) error {
		if dir {
			return s.AddDir(ctx, name, local)
		}
		return s.AddFile(name, local)
	})
	return name
}

// contextName is where a local path is in the context.
func contextName(local string) string {
	clean := filepath.Clean(local)
	if clean == ".." || strings.HasPrefix(filepath.ToSlash(clean), "../") || clean == "." {
		// The context has nothing above its root, and its root is no name.
		if abs, err := filepath.Abs(clean); err == nil {
			clean = abs
		}
	}
	clean = filepath.ToSlash(strings.TrimPrefix(clean, filepath.VolumeName(clean)))
	return strings.TrimLeft(clean, "/")
}

// RunCommands runs commands of the shell, each in a layer of its own.
func (i *Image) RunCommands(commands ...string) *Image {
	for _, c := range commands {
		i.line("RUN %s", c)
	}
	return i
}

var quotes = strings.NewReplacer(`"`, `\\\"`, `'`, `\'`)

// RunCommand runs one command that is given as a list. Arguments are in double
// quotes for the shell, and quotes in them reach the program with a backslash, as
// the official SDKs write a list.
func (i *Image) RunCommand(args ...string) *Image {
	var quoted []string
	for _, a := range args {
		quoted = append(quoted, `"`+quotes.Replace(a)+`"`)
	}
	return i.line("RUN %s", strings.Join(quoted, " "))
}

// Env sets variables, in the order of their names.
func (i *Image) Env(variables map[string]string) *Image {
	for _, name := range slices.Sorted(maps.Keys(variables)) {
		i.line("ENV %s=%s", name, shellescape.Quote(variables[name]))
	}
	return i
}

// Workdir sets the directory that commands run in.
func (i *Image) Workdir(dir string) *Image { return i.line("WORKDIR %s", shellescape.Quote(dir)) }

// Entrypoint sets the command that runs in each sandbox.
func (i *Image) Entrypoint(args ...string) *Image { return i.line("ENTRYPOINT [%s]", listJSON(args)) }

// Cmd sets the arguments of the entrypoint.
func (i *Image) Cmd(args ...string) *Image { return i.line("CMD [%s]", listJSON(args)) }

// DockerfileCommands adds lines of a Dockerfile. What they copy is read from
// contextDir, "" being the current directory, but for what its .dockerignore
// leaves out.
func (i *Image) DockerfileCommands(commands []string, contextDir string) *Image {
	text := strings.Join(commands, "\n")
	copied, err := buildcontext.Copied(text, true)
	if err != nil {
		return i.fail(invalid("The Dockerfile commands cannot be read: %v.", err))
	}
	dir, err := localPath(cmp.Or(contextDir, "."))
	if err != nil {
		return i.fail(err)
	}
	info, err := os.Stat(dir)
	if err != nil {
		return i.fail(localError("Context directory", dir, err))
	}
	if !info.IsDir() {
		return i.fail(invalid("Context directory %s is no directory.", dir))
	}
	ignore, err := buildcontext.Ignored("", dir)
	if err != nil {
		return i.fail(invalid("%v.", err))
	}
	i.files = append(i.files, func(ctx context.Context, s *buildcontext.Set) error {
		return s.AddCopied(ctx, copied, buildcontext.Source{Dir: dir, Ignore: ignore})
	})
	return i.line("%s", text)
}

// localPath puts the home directory in place of a ~ at the beginning.
func localPath(p string) (string, error) {
	if p != "~" && !strings.HasPrefix(p, "~/") {
		return p, nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", invalid("%s: the home directory is not known (%v).", p, err)
	}
	return filepath.Join(home, strings.TrimPrefix(p, "~")), nil
}

func isFile(what, p string) error {
	info, err := os.Stat(p)
	if err != nil {
		return localError(what, p, err)
	}
	if !info.Mode().IsRegular() {
		return invalid("%s %s is no file.", what, p)
	}
	return nil
}

// localError is what is wrong with a path of this machine.
func localError(what, p string, err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return &Error{StatusCode: http.StatusNotFound, Code: "LOCAL_FILE_NOT_FOUND", Message: fmt.Sprintf("%s %s does not exist.", what, p), cause: err}
	}
	return &Error{StatusCode: http.StatusBadRequest, Code: "BAD_LOCAL_FILE", Message: fmt.Sprintf("%s %s cannot be read: %v.", what, p, err), cause: err}
}

func invalid(format string, args ...any) error {
	return &Error{StatusCode: http.StatusBadRequest, Code: "BAD_IMAGE", Message: fmt.Sprintf(format, args...)}
}

// build uploads what the image copies and says what to build. Told may be nil.
func (c *Client) build(ctx context.Context, i *Image, entrypoint []string, told func(string)) (*api.CreateBuildInfo, error) {
	if i.err != nil {
		return nil, i.err
	}
	text := i.Dockerfile()
	if len(entrypoint) > 0 {
		if !strings.HasSuffix(text, "\n") {
			text += "\n"
		}
		text += "ENTRYPOINT [" + listJSON(entrypoint) + "]\n"
	}
	info := &api.CreateBuildInfo{DockerfileContent: text}
	var set buildcontext.Set
	for _, add := range i.files {
		if err := add(ctx, &set); err != nil {
			return nil, contextError(ctx, err)
		}
	}
	archives, err := set.Archives(ctx)
	if err != nil {
		return nil, contextError(ctx, err)
	}
	if len(archives) == 0 {
		return info, nil
	}
	var access api.StorageAccess
	if err := c.do(ctx, request{method: http.MethodGet, url: "/object-storage/push-access"}, &access); err != nil {
		return nil, err
	}
	if _, err := buildcontext.Upload(ctx, access, c.config.HTTPClient.Transport, archives, told); err != nil {
		return nil, contextError(ctx, err)
	}
	for _, a := range archives {
		info.ContextHashes = append(info.ContextHashes, a.Hash)
	}
	return info, nil
}

// contextError is the error of a context that cannot be packed or sent.
func contextError(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("upload the build context: %w", ctx.Err())
	}
	var local *fs.PathError
	if errors.As(err, &local) {
		return localError("Local file", local.Path, local.Err)
	}
	return &Error{StatusCode: http.StatusBadRequest, Code: "BAD_BUILD_CONTEXT", Message: fmt.Sprintf("The files of the build cannot be used: %v.", err), cause: err}
}
