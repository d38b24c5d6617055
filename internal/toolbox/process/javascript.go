package process

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"sync"
	"time"

	"github.com/opendaytona/daytona/internal/toolbox/launch"
	"github.com/opendaytona/daytona/internal/toolbox/spool"
	"github.com/opendaytona/daytona/internal/toolbox/wire"
)

// esModule finds the statements that only an ES module can have. Node.js before
// 22.7 does not find out by itself.
var esModule = regexp.MustCompile(`(?m)^\s*(import\s*[\w{*"']|export\s+[\w{*])`)

func (s *Service) javascript(r *http.Request, req codeRunRequest, job run) (int, error) {
	switch {
	case s.launcher.Find("node", "nodejs") != "":
		job.command.Argv = []string{s.launcher.Find("node", "nodejs")}
		if esModule.MatchString(req.Code) {
			job.command.Argv = append(job.command.Argv, "--input-type=module")
		}
	case s.launcher.Find("bun") != "":
		job.command.Argv = []string{s.launcher.Find("bun"), "run"}
	case s.launcher.Find("deno") != "":
		job.command.Argv = []string{s.launcher.Find("deno"), "run", "--allow-all"}
	default:
		return 0, wire.Bad("this sandbox has no Node.js: use a snapshot whose image has node, bun or deno in its PATH")
	}
	source, done, err := feed(req.Code)
	if err != nil {
		return 0, err
	}
	defer done()
	job.stdin = source
	job.command.Argv = append(append(job.command.Argv, "-"), req.Argv...)
	return s.start(r.Context(), job)
}

// typescript runs the code from a file beside the other files of the working
// directory, as TypeScript runners resolve imports from there.
func (s *Service) typescript(r *http.Request, req codeRunRequest, job run) (int, error) {
	argv := s.typescriptRunner(r.Context())
	if argv == nil {
		return 0, wire.Bad("this sandbox cannot run TypeScript: its image needs one of tsx, ts-node, bun, deno, or Node.js 22.6 or newer")
	}
	file, err := s.writeSource(s.launcher.WorkDir(), ".code-run-*.ts", req.Code)
	if err != nil {
		return 0, err
	}
	defer os.Remove(file)
	job.command.Argv = append(append(argv, file), req.Argv...)
	return s.start(r.Context(), job)
}

func (s *Service) typescriptRunner(ctx context.Context) []string {
	if p := s.launcher.Find("tsx"); p != "" {
		return []string{p}
	}
	if p := s.launcher.Find("ts-node"); p != "" {
		return []string{p, "--transpileOnly", "--compilerOptions", `{"module":"CommonJS"}`}
	}
	if p := s.launcher.Find("bun"); p != "" {
		return []string{p, "run"}
	}
	if p := s.launcher.Find("deno"); p != "" {
		return []string{p, "run", "--allow-all"}
	}
	node := s.launcher.Find("node", "nodejs")
	if node == "" {
		return nil
	}
	major, minor := s.nodeVersion(ctx, node)
	if major < 22 || (major == 22 && minor < 6) {
		return nil
	}
	return []string{node, "--no-warnings", "--experimental-strip-types"}
}

// nodeVersions remembers what `node --version` said of a file.
type nodeVersions struct {
	mu    sync.Mutex
	known map[nodeFile][2]int
}

type nodeFile struct {
	path    string
	modTime time.Time
}

var version = regexp.MustCompile(`^v(\d+)\.(\d+)\.`)

func (s *Service) nodeVersion(ctx context.Context, path string) (major, minor int) {
	info, err := os.Stat(path)
	if err != nil {
		return 0, 0
	}
	key := nodeFile{path, info.ModTime()}
	s.node.mu.Lock()
	v, ok := s.node.known[key]
	s.node.mu.Unlock()
	if ok {
		return v[0], v[1]
	}
	var output spool.Buffer
	defer output.Close()
	_, err = s.start(ctx, run{
		command: launch.Command{Argv: []string{path, "--version"}}, stdin: -1, timeout: 10 * time.Second, output: &output,
	})
	text, rerr := io.ReadAll(io.LimitReader(output.Seal(), 100))
	m := version.FindSubmatch(bytes.TrimSpace(text))
	if err != nil || rerr != nil || m == nil {
		return 0, 0
	}
	v[0], _ = strconv.Atoi(string(m[1]))
	v[1], _ = strconv.Atoi(string(m[2]))
	s.node.mu.Lock()
	defer s.node.mu.Unlock()
	if s.node.known == nil {
		s.node.known = map[nodeFile][2]int{}
	}
	s.node.known[key] = v
	return v[0], v[1]
}
