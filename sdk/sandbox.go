package daytona

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/opendaytona/daytona/api"
)

// Sandbox is one sandbox as it was when it was last fetched (RefreshData), and what
// can be done with it.
type Sandbox struct {
	api.Sandbox
	Process    *Process
	FileSystem *FileSystem
	client     *Client
}

// CreateParams say what sandbox to make. The zero value is one of the server's
// default snapshot.
type CreateParams struct {
	Name                string
	Snapshot            string // name or id
	User                string
	Env                 map[string]string
	Labels              map[string]string
	Public              bool
	AutoStopInterval    *int // minutes without activity, 0 is never; default 15
	AutoArchiveInterval *int // minutes after stop
	AutoDeleteInterval  *int // minutes after stop, 0 is at stop, negative is never
	Ephemeral           bool // delete it when it stops
	NetworkBlockAll     bool
	NetworkAllowList    string // IPv4 networks, separated by commas
	Target              string // region
}

// Create makes a sandbox and returns when it is started. Errors: ErrNotFound for
// the snapshot, ErrConflict for the name, ErrInvalid, also over a quota;
// *StateError when it does not start.
func (c *Client) Create(ctx context.Context, p CreateParams) (*Sandbox, error) {
	ask := api.CreateSandbox{
		Name: p.Name, Snapshot: p.Snapshot, User: p.User, Env: p.Env, Labels: p.Labels, Public: p.Public,
		AutoStopInterval: p.AutoStopInterval, AutoArchiveInterval: p.AutoArchiveInterval, AutoDeleteInterval: p.AutoDeleteInterval,
		NetworkBlockAll: p.NetworkBlockAll, NetworkAllowList: p.NetworkAllowList, Target: p.Target,
	}
	if p.Ephemeral {
		ask.AutoDeleteInterval = new(int)
	}
	if ask.Target == "" {
		ask.Target = c.config.Target
	}
	s := c.newSandbox()
	if err := c.do(ctx, request{method: http.MethodPost, url: "/sandbox", body: ask}, &s.Sandbox); err != nil {
		return nil, err
	}
	return s, s.WaitUntilStarted(ctx)
}

// Get finds a sandbox. Errors: ErrNotFound.
func (c *Client) Get(ctx context.Context, idOrName string) (*Sandbox, error) {
	s := c.newSandbox()
	s.ID = idOrName
	return s, s.RefreshData(ctx)
}

// Delete deletes a sandbox with its disk. Errors: ErrNotFound.
func (c *Client) Delete(ctx context.Context, idOrName string) error {
	return c.do(ctx, request{method: http.MethodDelete, url: "/sandbox/" + url.PathEscape(idOrName)}, nil)
}

// ListParams select sandboxes; the zero value selects all.
type ListParams struct {
	Labels map[string]string
	Name   string // prefix
	States []api.SandboxState
	Limit  int // of a page; 0 is the server's default
}

// List yields sandboxes, the newest first, fetching pages as they are needed.
// An error is the last thing it yields.
func (c *Client) List(ctx context.Context, p ListParams) iter.Seq2[*Sandbox, error] {
	return func(yield func(*Sandbox, error) bool) {
		q := url.Values{}
		if len(p.Labels) > 0 {
			b, err := json.Marshal(p.Labels)
			if err != nil {
				yield(nil, fmt.Errorf("encode labels: %w", err))
				return
			}
			q.Set("labels", string(b))
		}
		if p.Name != "" {
			q.Set("name", p.Name)
		}
		for _, s := range p.States {
			q.Add("states", string(s))
		}
		if p.Limit > 0 {
			q.Set("limit", strconv.Itoa(p.Limit))
		}
		for {
			var page api.ListSandboxesResponse
			if err := c.do(ctx, request{method: http.MethodGet, url: "/sandbox", query: q}, &page); err != nil {
				yield(nil, err)
				return
			}
			for _, item := range page.Items {
				s := c.newSandbox()
				s.SandboxSummary = item
				if !yield(s, nil) {
					return
				}
			}
			if page.NextCursor == nil {
				return
			}
			q.Set("cursor", *page.NextCursor)
		}
	}
}

func (c *Client) newSandbox() *Sandbox {
	s := &Sandbox{client: c}
	s.Process, s.FileSystem = &Process{s}, &FileSystem{s}
	return s
}

func (s *Sandbox) path(rest string) string { return "/sandbox/" + url.PathEscape(s.ID) + rest }

// toolbox is the address of a route of the sandbox's agent.
func (s *Sandbox) toolbox(ctx context.Context, route string) (string, error) {
	if s.ToolboxProxyURL == "" {
		if err := s.RefreshData(ctx); err != nil {
			return "", err
		}
	}
	return s.ToolboxProxyURL + "/" + url.PathEscape(s.ID) + route, nil
}

// call calls the sandbox's agent.
func (s *Sandbox) call(ctx context.Context, r request, out any) error {
	address, err := s.toolbox(ctx, r.url)
	if err != nil {
		return err
	}
	r.url = address
	return s.client.do(ctx, r, out)
}

// RefreshData fetches the sandbox anew. Errors: ErrNotFound.
func (s *Sandbox) RefreshData(ctx context.Context) error {
	var now api.Sandbox
	if err := s.client.do(ctx, request{method: http.MethodGet, url: s.path("")}, &now); err != nil {
		return err
	}
	s.Sandbox = now
	return nil
}

// Start starts a stopped sandbox and waits until it is started. Errors:
// *StateError when it does not start.
func (s *Sandbox) Start(ctx context.Context) error {
	if err := s.client.do(ctx, request{method: http.MethodPost, url: s.path("/start")}, &s.Sandbox); err != nil {
		return err
	}
	return s.WaitUntilStarted(ctx)
}

// Stop ends everything in the sandbox and waits until it is stopped. Its disk
// stays. Errors: *StateError when it does not stop.
func (s *Sandbox) Stop(ctx context.Context) error {
	if err := s.client.do(ctx, request{method: http.MethodPost, url: s.path("/stop")}, &s.Sandbox); err != nil {
		return err
	}
	return s.WaitUntilStopped(ctx)
}

// Delete deletes the sandbox with its disk.
func (s *Sandbox) Delete(ctx context.Context) error { return s.client.Delete(ctx, s.ID) }

// SetLabels replaces all labels.
func (s *Sandbox) SetLabels(ctx context.Context, labels map[string]string) error {
	if err := s.client.do(ctx, request{method: http.MethodPut, url: s.path("/labels"), body: api.SandboxLabels{Labels: labels}}, nil); err != nil {
		return err
	}
	return s.RefreshData(ctx)
}

// SetAutostopInterval sets after how many minutes without activity the sandbox
// stops; 0 is never.
func (s *Sandbox) SetAutostopInterval(ctx context.Context, minutes int) error {
	return s.setInterval(ctx, "autostop", minutes)
}

// SetAutoArchiveInterval sets after how many minutes stopped it is archived.
func (s *Sandbox) SetAutoArchiveInterval(ctx context.Context, minutes int) error {
	return s.setInterval(ctx, "autoarchive", minutes)
}

// SetAutoDeleteInterval sets after how many minutes stopped it is deleted: 0 at
// once, negative never.
func (s *Sandbox) SetAutoDeleteInterval(ctx context.Context, minutes int) error {
	return s.setInterval(ctx, "autodelete", minutes)
}

func (s *Sandbox) setInterval(ctx context.Context, which string, minutes int) error {
	if err := s.client.do(ctx, request{method: http.MethodPost, url: s.path("/" + which + "/" + strconv.Itoa(minutes))}, nil); err != nil {
		return err
	}
	return s.RefreshData(ctx)
}

// StateError says that a sandbox or snapshot ended in another state than the
// one waited for.
type StateError struct {
	Name, State, Reason string
}

// Error implements error.
func (e *StateError) Error() string {
	if e.Reason == "" {
		return fmt.Sprintf("%s is %s.", e.Name, e.State)
	}
	return fmt.Sprintf("%s is %s: %s", e.Name, e.State, e.Reason)
}

// WaitUntilStarted returns when the sandbox is started. Errors: *StateError as
// soon as it cannot become so; ctx's.
func (s *Sandbox) WaitUntilStarted(ctx context.Context) error {
	return s.waitFor(ctx, api.SandboxStarted, api.SandboxError, api.SandboxStopped, api.SandboxDestroyed, api.SandboxDestroying)
}

// WaitUntilStopped returns when the sandbox is stopped. One that is deleted at
// stop is gone, which is fine. Errors: as of WaitUntilStarted.
func (s *Sandbox) WaitUntilStopped(ctx context.Context) error {
	err := s.waitFor(ctx, api.SandboxStopped, api.SandboxError)
	if errors.Is(err, ErrNotFound) {
		s.State = api.SandboxDestroyed
		return nil
	}
	return err
}

func (s *Sandbox) waitFor(ctx context.Context, want api.SandboxState, never ...api.SandboxState) error {
	for pause := firstPause; ; pause = longer(pause) {
		if s.State == want {
			return nil
		}
		for _, state := range never {
			if s.State == state {
				return &StateError{Name: "Sandbox " + s.ID, State: string(s.State), Reason: s.ErrorReason}
			}
		}
		if err := sleep(ctx, pause); err != nil {
			return fmt.Errorf("wait until sandbox %s is %s: %w", s.ID, want, err)
		}
		if err := s.RefreshData(ctx); err != nil {
			return err
		}
	}
}

// Pauses between two looks at a state.
const (
	firstPause   = 50 * time.Millisecond
	longestPause = time.Second
)

func longer(d time.Duration) time.Duration { return min(d*3/2, longestPause) }

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// GetUserHomeDir is the home directory of the sandbox's user.
func (s *Sandbox) GetUserHomeDir(ctx context.Context) (string, error) {
	return s.dir(ctx, "/user-home-dir")
}

// GetWorkDir is the directory that relative paths start from.
func (s *Sandbox) GetWorkDir(ctx context.Context) (string, error) { return s.dir(ctx, "/work-dir") }

func (s *Sandbox) dir(ctx context.Context, route string) (string, error) {
	var answer struct{ Dir string }
	err := s.call(ctx, request{method: http.MethodGet, url: route}, &answer)
	return answer.Dir, err
}
