package process

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/opendaytona/daytona/internal/toolbox/capture"
	"github.com/opendaytona/daytona/internal/toolbox/launch"
	"github.com/opendaytona/daytona/internal/toolbox/spool"
	"github.com/opendaytona/daytona/internal/toolbox/wire"
)

type codeRunRequest struct {
	Code     string            `json:"code"`
	Language string            `json:"language"`
	Argv     []string          `json:"argv"`
	Envs     map[string]string `json:"envs"`
	Timeout  *int64            `json:"timeout"`
}

// codeRun runs code with the interpreter of its language. The output is standard
// output and error together; charts that Python code shows come as artifacts.
func (s *Service) codeRun(w http.ResponseWriter, r *http.Request) error {
	var req codeRunRequest
	if err := wire.Decode(w, r, &req); err != nil {
		return err
	}
	timeout, err := seconds(req.Timeout)
	if err != nil {
		return err
	}
	var output, charts spool.Buffer
	defer output.Close()
	defer charts.Close()
	job := run{command: launch.Command{Env: req.Envs}, stdin: -1, timeout: timeout, output: &output}
	code := 0
	switch strings.ToLower(req.Language) {
	case "python", "python3", "py":
		code, err = s.python(r, req, job, &charts)
	case "javascript", "js", "node":
		code, err = s.javascript(r, req, job)
	case "typescript", "ts":
		code, err = s.typescript(r, req, job)
	case "":
		return wire.Bad("language is missing: it is one of python, javascript, typescript")
	default:
		return wire.Bad("language %q is not supported: it is one of python, javascript, typescript", req.Language)
	}
	if err != nil {
		return err
	}
	answer(w, code, output.Seal(), func(w io.Writer) error { return writeCharts(w, charts.Seal()) })
	return nil
}

// maxChart is how long a line that describes a chart may be. The program that
// writes them keeps to it; others would fill the agent's memory.
const maxChart = 8 << 20

// writeCharts copies lines of JSON into an array. A line that is no object was cut
// off by the end of the process, or is not of the program that writes charts.
func writeCharts(w io.Writer, lines io.Reader) error {
	if _, err := io.WriteString(w, `,"artifacts":{"charts":[`); err != nil {
		return err
	}
	in := bufio.NewScanner(lines)
	in.Buffer(nil, maxChart+1)
	sep := ""
	for in.Scan() {
		line := in.Bytes()
		if !bytes.HasPrefix(line, []byte("{")) || !json.Valid(line) {
			continue
		}
		if _, err := io.WriteString(w, sep); err != nil {
			return err
		}
		if _, err := w.Write(line); err != nil {
			return err
		}
		sep = ","
	}
	if err := in.Err(); err != nil && !errors.Is(err, bufio.ErrTooLong) {
		return err
	}
	_, err := io.WriteString(w, "]}")
	return err
}

// feed makes a descriptor for a child from which it reads text. The returned
// function must be called once the child runs or could not be started.
func feed(text string) (fd int, done func(), err error) {
	fd, w, err := capture.Feed()
	if err != nil {
		return -1, nil, err
	}
	go func() {
		_, _ = io.WriteString(w, text) // an interpreter need not read it all
		w.Close()
	}()
	return fd, func() { w.Close() }, nil
}

func closeAll(fds ...int) {
	for _, fd := range fds {
		unix.Close(fd)
	}
}

// writeSource puts code into a new file in the command's directory, where its
// imports are resolved, or in the temporary directory when that is not possible.
func (s *Service) writeSource(dir, pattern, code string) (string, error) {
	u, err := s.launcher.User()
	if err != nil {
		return "", err
	}
	f, err := os.CreateTemp(dir, pattern)
	if err != nil {
		if f, err = os.CreateTemp("", pattern); err != nil {
			return "", err
		}
	}
	_, err = f.WriteString(code)
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = launch.Own(f.Name(), u)
	}
	if err != nil {
		os.Remove(f.Name())
		return "", err
	}
	return f.Name(), nil
}
