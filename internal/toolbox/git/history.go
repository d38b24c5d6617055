package git

import (
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/opendaytona/daytona/internal/toolbox/wire"
)

// commitInfo is a commit as the API tells of it.
type commitInfo struct {
	Hash      string `json:"hash"`
	Author    string `json:"author"`
	Email     string `json:"email"`
	Timestamp string `json:"timestamp"`
	Message   string `json:"message"`
}

func (s *Service) history(w http.ResponseWriter, r *http.Request) error {
	repo, err := s.open(r.URL.Query().Get("path"))
	if err != nil {
		return err
	}
	branch, err := s.branch(r.Context(), repo)
	if err != nil {
		return err
	}
	if branch != "" {
		// A repository without a commit has a history all the same: an empty one.
		if born, err := s.born(r.Context(), repo); err != nil {
			return err
		} else if !born {
			wire.JSON(w, http.StatusOK, []commitInfo{})
			return nil
		}
	}
	run, err := s.must(r.Context(), command{repo: repo, args: []string{
		"log", "-z", "--no-show-signature", "--no-patch", "--no-color", "--encoding=UTF-8", "--date=raw",
		"--format=tformat:%H%x00%an%x00%ae%x00%ad%x00%B",
	}})
	if err != nil {
		return err
	}
	defer run.Close()
	fields := newFields(run.stdout.Seal())
	answer(w, nil, "", func() (any, error) { return nextCommit(fields) })
	return nil
}

// nextCommit reads a commit of the format above; nil is the end.
func nextCommit(in *fields) (any, error) {
	var c commitInfo
	var date string
	for i, member := range []*string{&c.Hash, &c.Author, &c.Email, &date, &c.Message} {
		text, err := in.next()
		if i == 0 && err == io.EOF {
			return nil, nil
		}
		if err != nil {
			return nil, fmt.Errorf("read git's log: %w", err)
		}
		*member = text
	}
	c.Timestamp = timestamp(date)
	return c, nil
}

// timestamp is a date that git tells as seconds and offset in RFC 3339. Commits
// may have any date; what has no such form is told as the beginning of time.
func timestamp(raw string) string {
	seconds, zone, _ := strings.Cut(raw, " ")
	unix, err := strconv.ParseInt(seconds, 10, 64)
	at := time.Unix(unix, 0).UTC()
	if err != nil || at.Year() < 0 || at.Year() > 9998 {
		return time.Unix(0, 0).UTC().Format(time.RFC3339)
	}
	if offset, err := strconv.Atoi(zone); err == nil && offset > -2400 && offset < 2400 {
		at = at.In(time.FixedZone("", (offset/100*60+offset%100)*60))
	}
	return at.Format(time.RFC3339)
}
