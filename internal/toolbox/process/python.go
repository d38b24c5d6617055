package process

import (
	_ "embed"
	"net/http"

	"github.com/opendaytona/daytona/internal/toolbox/capture"
	"github.com/opendaytona/daytona/internal/toolbox/spool"
	"github.com/opendaytona/daytona/internal/toolbox/wire"
)

// bootstrap reads the code from descriptor 3 and writes charts to descriptor 4,
// so neither size nor content of the code matters to the command line, and
// nothing that the code prints can be taken for a chart.
//
//go:embed bootstrap.py
var bootstrap string

// charts is what bootstrap does with figures of matplotlib.
//
//go:embed charts.py
var charts string

func (s *Service) python(r *http.Request, req codeRunRequest, job run, figures *spool.Buffer) (int, error) {
	interpreter := s.launcher.Find("python3", "python")
	if interpreter == "" {
		return 0, wire.Bad("this sandbox has no Python: use a snapshot whose image has python3 in its PATH")
	}
	u, err := s.launcher.User()
	if err != nil {
		return 0, err
	}
	source, done, err := feed(req.Code)
	if err != nil {
		return 0, err
	}
	defer done()
	out, in, err := capture.Pipe(u.UID)
	if err != nil {
		closeAll(source)
		return 0, err
	}
	pump := capture.Start(out, figures.Append)
	job.extra = []int{source, in}
	job.command.Argv = append([]string{interpreter, "-u", "-c", charts + bootstrap}, req.Argv...)
	code, err := s.start(r.Context(), job)
	pump.Settle()
	return code, err
}
