package process

import (
	"net/http"

	"github.com/opendaytona/daytona/internal/toolbox/launch"
	"github.com/opendaytona/daytona/internal/toolbox/spool"
	"github.com/opendaytona/daytona/internal/toolbox/wire"
)

type executeRequest struct {
	Command string            `json:"command"`
	Cwd     string            `json:"cwd"`
	Envs    map[string]string `json:"envs"`
	Timeout *int64            `json:"timeout"`
}

// execute runs a command line in a shell of its own and answers once that shell
// has ended. A process left in the background goes on; see capture.Grace.
func (s *Service) execute(w http.ResponseWriter, r *http.Request) error {
	var req executeRequest
	if err := wire.Decode(w, r, &req); err != nil {
		return err
	}
	if req.Command == "" {
		return wire.Bad("command is missing")
	}
	timeout, err := seconds(req.Timeout)
	if err != nil {
		return err
	}
	shell, err := s.launcher.Shell()
	if err != nil {
		return err
	}
	var output spool.Buffer
	defer output.Close()
	code, err := s.start(r.Context(), run{
		command: launch.Command{Argv: []string{shell, "-c", req.Command}, Env: req.Envs, Dir: req.Cwd},
		stdin:   -1, timeout: timeout, output: &output,
	})
	if err != nil {
		return err
	}
	answer(w, code, output.Seal(), nil)
	return nil
}
