package pty

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"

	"github.com/opendaytona/daytona/internal/toolbox/upgrade"
	"github.com/opendaytona/daytona/internal/toolbox/wire"
)

const (
	defaultCols, defaultRows = 80, 24
	maxSize                  = 1000 // columns or rows
	defaultTerm              = "xterm-256color"
)

// request asks for a terminal.
type request struct {
	ID        string            `json:"id"`
	Cwd       string            `json:"cwd"`
	Envs      map[string]string `json:"envs"`
	LazyStart bool              `json:"lazyStart"`
}

var variableName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// createConnect is the last element of a route, and so no id.
const createConnect = "create-connect"

// check completes a request.
func (q *request) check() error {
	switch {
	case q.ID == "":
		return wire.Bad("id is missing: choose a name for the terminal")
	case len(q.ID) > 256, strings.ContainsAny(q.ID, "/\x00"), q.ID == ".", q.ID == "..", q.ID == createConnect:
		return wire.Bad("id must have at most 256 bytes and no '/' or NUL byte, and must not be '.', '..' or '%s'", createConnect)
	}
	envs := map[string]string{"TERM": defaultTerm}
	for name, value := range q.Envs {
		if !variableName.MatchString(name) {
			return wire.Bad("environment variable name %q is not valid: use letters, digits and '_', and begin with no digit", name)
		}
		envs[name] = value
	}
	q.Envs = envs
	return nil
}

// checkSize replaces what is not given by defaults.
func checkSize(s size) (size, error) {
	if s.Cols == 0 {
		s.Cols = defaultCols
	}
	if s.Rows == 0 {
		s.Rows = defaultRows
	}
	return s, s.check()
}

func (s size) check() error {
	if s.Cols < 1 || s.Cols > maxSize || s.Rows < 1 || s.Rows > maxSize {
		return wire.Bad("cols and rows must be from 1 to %d, not %d and %d", maxSize, s.Cols, s.Rows)
	}
	return nil
}

// fromQuery is a request that comes with a WebSocket: in the query and, for what
// is secret, a subprotocol.
func fromQuery(r *http.Request) (q request, s size, err error) {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return q, s, wire.Bad("the query is not valid: %v", err)
	}
	q.ID, q.Cwd = query.Get("id"), query.Get("cwd")
	for _, one := range upgrade.Offered(r) {
		if len(one) < len(upgrade.Variables) || !strings.EqualFold(one[:len(upgrade.Variables)], upgrade.Variables) {
			continue
		}
		// Decoding errors would repeat the text, which is secret.
		decoded, err := base64.RawURLEncoding.DecodeString(one[len(upgrade.Variables):])
		if err != nil || json.Unmarshal(decoded, &q.Envs) != nil {
			return q, s, wire.Bad("the subprotocol %s must go on with base64url, without padding, of a JSON object of strings", upgrade.Variables)
		}
	}
	return q, size{number(query.Get("cols")), number(query.Get("rows"))}, nil
}

// number is 0, which is the default, for what is no number.
func number(text string) int {
	n, err := strconv.Atoi(text)
	if err != nil && !errors.Is(err, strconv.ErrRange) {
		return 0
	}
	return n
}
