//go:build linux

package daytona_test

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/opendaytona/daytona/api"
	daytona "github.com/opendaytona/daytona/sdk"
)

// files makes files in a directory that becomes the current one.
func files(t *testing.T, contents map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range contents {
		ok(t, os.MkdirAll(filepath.Join(dir, filepath.Dir(name)), 0o755))
		ok(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644))
	}
	t.Chdir(dir)
	return dir
}

// The texts are the official Python SDK's: test/conformance/python/image_texts.py
// makes the file, and its test compares the file with the SDK.
func TestImagesAreWrittenAsTheOfficialSDKsWriteThem(t *testing.T) {
	kept, err := os.ReadFile("testdata/images.json")
	ok(t, err)
	var want map[string]string
	ok(t, json.Unmarshal(kept, &want))
	files(t, map[string]string{
		"requirements.txt": "x", "src/main.py": "x", "src/deep/data": "x", "with space.txt": "x", "döner/kebab😀.txt": "x",
		"pyproject.toml": "[project]\ndependencies = [\"requests>=2\", \"idna\"]\n[project.optional-dependencies]\ndev = [\"pytest\", \"ruff<1\"]\ndocs = [\"sphinx\"]\n",
		"Dockerfile":     "# syntax=docker/dockerfile:1\nFROM a:1\nCOPY src /srv\nCMD sleep 9",
	})
	base := func() *daytona.Image { return daytona.Base("debian:12.9") }
	none := daytona.PipOptions{}
	cases := map[string]*daytona.Image{
		"base":             base(),
		"from_dockerfile":  daytona.FromDockerfile("Dockerfile"),
		"pip_install":      base().PipInstall([]string{"requests>=2,<3", "pandas", "uvicorn[standard]", "it's"}, none),
		"pip_install none": base().PipInstall(nil, none),
		"pip_install options": base().PipInstall([]string{"a"}, daytona.PipOptions{
			FindLinks: []string{"/srv/wheels", "https://links.example/a b"}, IndexURL: "https://index.example/simple?x=1&y=2",
			ExtraIndexURLs: []string{"https://one.example", "https://two.example"}, Pre: true, ExtraOptions: "  --no-deps --no-cache-dir ",
		}),
		"requirements":                base().PipInstallFromRequirements("./requirements.txt", daytona.PipOptions{Pre: true}),
		"pyproject":                   base().PipInstallFromPyproject("pyproject.toml", []string{"dev", "none"}, daytona.PipOptions{IndexURL: "https://index.example"}),
		"add_local_file":              base().AddLocalFile("src/main.py", "/srv/main.py"),
		"add_local_file to a folder":  base().AddLocalFile("./src/../src/main.py", "/srv/"),
		"add_local_file with a space": base().AddLocalFile("with space.txt", "/srv/with space.txt"),
		"add_local_file not in ASCII": base().AddLocalFile("döner/kebab😀.txt", "/srv/döner"),
		"add_local_dir":               base().AddLocalDir("src/", "/srv/<src>"),
		"run_commands":                base().RunCommands("echo one", `echo 'two' && echo "three"`),
		"run_commands as lists":       base().RunCommand("bash", "-c", "echo Hello, world!").RunCommand("sh", "-c", `echo 'a' "b" $C`),
		"env":                         base().Env(map[string]string{"A": "plain", "B": "with space", "C": "it's $HOME", "D": "", "E": `say "x"`}),
		"workdir":                     base().Workdir("/srv/my app").Workdir("/srv"),
		"entrypoint and cmd":          base().Entrypoint("sh", "-c").Cmd("sleep 9 && echo <done> & 'é'"),
		"entrypoint none":             base().Entrypoint().Cmd(),
		"dockerfile_commands":         base().DockerfileCommands([]string{"ARG X=src", "RUN echo $X", "COPY src /srv"}, ""),
		"everything": daytona.DebianSlim("3.12").PipInstall([]string{"numpy"}, none).Env(map[string]string{"A": "1"}).AddLocalDir("src", "/srv").
			RunCommands("echo x").Workdir("/srv").Entrypoint("python").Cmd("main.py"),
	}
	for _, v := range []string{"3.9", "3.10", "3.11", "3.12", "3.13", "3.12.1", "3.13.0rc1"} {
		cases["debian_slim "+v] = daytona.DebianSlim(v)
	}
	for name, text := range want {
		image := cases[name]
		if image == nil {
			t.Errorf("%s is not tried", name)
			continue
		}
		if image.Err() != nil || image.Dockerfile() != text {
			t.Errorf("%s: %v, got\n%s\nwant\n%s", name, image.Err(), image.Dockerfile(), text)
		}
	}
	if len(want) != len(cases) {
		t.Errorf("%d cases for %d texts", len(cases), len(want))
	}
}

func TestWhereTheOfficialTextWouldBeMisreadItIsNot(t *testing.T) {
	files(t, map[string]string{"my files/requirements.txt": "x"})
	for _, c := range []struct {
		image *daytona.Image
		want  string
	}{
		{daytona.Base("a:1").Cmd("sh", "-c", `echo "x" \d`), `CMD ["sh", "-c", "echo \"x\" \\d"]`},
		{daytona.Base("a:1").PipInstallFromRequirements("my files/requirements.txt", daytona.PipOptions{}), `COPY ["my files/requirements.txt", "/.requirements.txt"]`},
	} {
		if lines := strings.Split(c.image.Dockerfile(), "\n"); lines[1] != c.want {
			t.Errorf("got %s, want %s", lines[1], c.want)
		}
	}
}

func TestAnImageTellsWhatCannotBeAdded(t *testing.T) {
	files(t, map[string]string{"dir/file": "x", "bad.toml": "[", "empty.toml": "[project]\n", "Dockerfile": "FROM a:1\nCOPPY x y\n"})
	base := func() *daytona.Image { return daytona.Base("a:1") }
	for name, c := range map[string]struct {
		image *daytona.Image
		kind  error
		says  string
	}{
		"no file":        {base().AddLocalFile("none", "/x"), daytona.ErrNotFound, "none"},
		"a directory":    {base().AddLocalFile("dir", "/x"), daytona.ErrInvalid, "dir"},
		"no directory":   {base().AddLocalDir("none", "/x"), daytona.ErrNotFound, "none"},
		"a file":         {base().AddLocalDir("dir/file", "/x"), daytona.ErrInvalid, "AddLocalFile"},
		"a series":       {daytona.DebianSlim("3.8"), daytona.ErrInvalid, "3.13"},
		"no series":      {daytona.DebianSlim("three"), daytona.ErrInvalid, "3.13"},
		"requirements":   {base().PipInstallFromRequirements("none", daytona.PipOptions{}), daytona.ErrNotFound, "none"},
		"bad toml":       {base().PipInstallFromPyproject("bad.toml", nil, daytona.PipOptions{}), daytona.ErrInvalid, "bad.toml"},
		"no project":     {base().PipInstallFromPyproject("empty.toml", nil, daytona.PipOptions{}), daytona.ErrInvalid, "[project]"},
		"no Dockerfile":  {daytona.FromDockerfile("none"), daytona.ErrNotFound, "none"},
		"bad Dockerfile": {daytona.FromDockerfile("Dockerfile"), daytona.ErrInvalid, "line 2"},
		"bad commands":   {base().DockerfileCommands([]string{"RUN x", "COPPY x y"}, ""), daytona.ErrInvalid, "line 2"},
		"no context":     {base().DockerfileCommands([]string{"COPY x y"}, "none"), daytona.ErrNotFound, "none"},
	} {
		if err := c.image.Err(); !errors.Is(err, c.kind) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
	first := base().AddLocalFile("none", "/x").AddLocalDir("dir/file", "/y").Err()
	wants(t, "of several", first, daytona.ErrNotFound)
}

func TestAnImageIsBuiltForASnapshotOrASandbox(t *testing.T) {
	c, _ := connect(t)
	ctx := t.Context()
	image := daytona.Base("debian:12.9").RunCommands("echo made >/made")
	var lines []string
	tell := func(line string) { lines = append(lines, line) }
	snapshot, err := c.Snapshot.Create(ctx, daytona.CreateSnapshotParams{Name: "built", Build: image, Entrypoint: []string{"sleep", `"9"`}}, tell)
	ok(t, err)
	text := image.Dockerfile() + "ENTRYPOINT [\"sleep\", \"\\\"9\\\"\"]\n"
	if snapshot.State != api.SnapshotActive || snapshot.BuildInfo == nil || snapshot.BuildInfo.DockerfileContent != text || !slices.Contains(lines, "step RUN echo made >/made") {
		t.Errorf("made %+v, told %q", snapshot, lines)
	}
	// No entrypoint, however it is said, leaves the image's own.
	for name, none := range map[string][]string{"unset": nil, "empty": {}} {
		plain := daytona.Base("debian:12.9").RunCommands("echo " + name)
		snapshot, err := c.Snapshot.Create(ctx, daytona.CreateSnapshotParams{Name: "built-" + name, Build: plain, Entrypoint: none}, nil)
		ok(t, err)
		if snapshot.BuildInfo == nil || snapshot.BuildInfo.DockerfileContent != plain.Dockerfile() {
			t.Errorf("%s: made %+v", name, snapshot.BuildInfo)
		}
	}
	lines = nil
	sb, err := c.Create(ctx, daytona.CreateParams{Name: "own", Build: image, Resources: &daytona.Resources{CPU: 2, Memory: 3}, OnBuildLogs: tell})
	ok(t, err)
	if sb.State != api.SandboxStarted || sb.CPU != 2 || sb.Memory != 3 || !slices.Contains(lines, "step RUN echo made >/made") {
		t.Errorf("made %+v, told %q", sb.Sandbox, lines)
	}
	ok(t, sb.Delete(ctx))

	sb, err = c.Create(ctx, daytona.CreateParams{Build: daytona.Base("debian:12.9").RunCommands("FAIL")})
	var failed *daytona.StateError
	if !errors.As(err, &failed) || failed.State != string(api.SandboxBuildFailed) || !strings.Contains(failed.Reason, "line 2") || sb == nil {
		t.Errorf("a failed build: %v", err)
	}
	_, err = c.Create(ctx, daytona.CreateParams{Build: image.AddLocalFile("none", "/x")})
	wants(t, "an image that has an error", err, daytona.ErrNotFound)
	_, err = c.Create(ctx, daytona.CreateParams{Build: daytona.Base("a:1"), Snapshot: "built"})
	wants(t, "snapshot and build", err, daytona.ErrInvalid)
	_, err = c.Snapshot.Create(ctx, daytona.CreateSnapshotParams{Name: "x", Build: daytona.Base("a:1"), Image: "a:1"}, nil)
	wants(t, "image and build", err, daytona.ErrInvalid)
}
