package daytona

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"maps"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/opendaytona/daytona/api"
)

// Sandbox is one sandbox as it was when it was last fetched (RefreshData), and
// what can be done with it. Its methods write these fields, so calls on one
// Sandbox must not run at once; those of Process, CodeInterpreter, FileSystem, Git,
// ComputerUse and LanguageServer may.
type Sandbox struct {
	api.Sandbox
	Process         *Process
	CodeInterpreter *CodeInterpreter
	FileSystem      *FileSystem
	Git             *Git
	ComputerUse     *ComputerUse
	client          *Client
}

// CreateParams say what sandbox to make. The zero value is one of the server's
// default snapshot.
type CreateParams struct {
	Name                string
	Snapshot            string            // name or id; "" is the server's default
	Build               *Image            // to be built in place of a snapshot
	Resources           *Resources        // of a sandbox with a Build; a snapshot has its own
	OnBuildLogs         func(line string) // told how the image is built, and not after Create has returned
	Language            string            // of CodeRun: python, javascript or typescript
	User                string
	Env                 map[string]string
	Labels              map[string]string
	Public              bool
	AutoStopInterval    *int // minutes without activity, 0 is never; default 15
	AutoArchiveInterval *int // minutes after stop
	AutoDeleteInterval  *int // minutes after stop, 0 is at stop, negative is never
	Ephemeral           bool // delete it when it stops
	NetworkBlockAll     bool
	NetworkAllowList    string // networks, separated by commas
	DomainAllowList     string // domains, separated by commas; "*.example.com" is all below it
	Target              string // region
}

// Create makes a sandbox of a snapshot, or of an image that is built for it, and
// returns when it is started. When that fails after
// the sandbox was made, it is returned along with the error. Errors: ErrNotFound for
// the snapshot, ErrConflict for the name, ErrInvalid, also over a quota;
// *StateError when it does not start.
func (c *Client) Create(ctx context.Context, p CreateParams) (*Sandbox, error) {
	ask := api.CreateSandbox{
		Name: p.Name, Snapshot: p.Snapshot, User: p.User, Env: p.Env, Labels: p.Labels, Public: p.Public,
		AutoStopInterval: p.AutoStopInterval, AutoArchiveInterval: p.AutoArchiveInterval, AutoDeleteInterval: p.AutoDeleteInterval,
		NetworkBlockAll: p.NetworkBlockAll, NetworkAllowList: p.NetworkAllowList, DomainAllowList: p.DomainAllowList, Target: p.Target,
	}
	if p.Ephemeral {
		if p.AutoDeleteInterval != nil && *p.AutoDeleteInterval != 0 {
			return nil, &Error{StatusCode: http.StatusBadRequest, Code: "BAD_REQUEST", Message: fmt.Sprintf("An ephemeral sandbox is deleted at stop, not %d minutes after it: give Ephemeral or AutoDeleteInterval, not both.", *p.AutoDeleteInterval)}
		}
		ask.AutoDeleteInterval = new(int)
	}
	if p.Language != "" {
		ask.Labels = maps.Clone(p.Labels)
		if ask.Labels == nil {
			ask.Labels = map[string]string{}
		}
		ask.Labels[languageLabel] = p.Language
	}
	if ask.Target == "" {
		ask.Target = c.config.Target
	}
	if r := p.Resources; r != nil {
		ask.CPU, ask.Memory, ask.Disk = given(r.CPU), given(r.Memory), given(r.Disk)
	}
	if p.Build != nil {
		build, err := c.build(ctx, p.Build, nil, p.OnBuildLogs)
		if err != nil {
			return nil, err
		}
		ask.BuildInfo = build
	}
	s := c.newSandbox()
	s.Name = p.Name
	if err := c.do(ctx, request{method: http.MethodPost, url: "/sandbox", body: ask}, &s.Sandbox); err != nil {
		return s.made(ctx, err)
	}
	if s.State == api.SandboxPendingBuild || s.State == api.SandboxBuilding {
		defer c.tell(ctx, s.path(""), p.OnBuildLogs)()
	}
	return s, s.awaitStarted(ctx)
}

// Get finds a sandbox. Errors: ErrNotFound.
func (c *Client) Get(ctx context.Context, idOrName string) (*Sandbox, error) {
	s := c.newSandbox()
	s.ID = idOrName
	if err := s.RefreshData(ctx); err != nil {
		return nil, err
	}
	return s, nil
}

// Delete asks for a sandbox to go with its disk, whatever its state. Errors: ErrNotFound.
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
	s.Process, s.CodeInterpreter, s.FileSystem, s.Git, s.ComputerUse = &Process{s}, &CodeInterpreter{s}, &FileSystem{s}, &Git{s}, newComputerUse(s)
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
	return s.change(ctx, http.MethodGet, "")
}

// change sends a request whose answer is the sandbox as it is after it.
func (s *Sandbox) change(ctx context.Context, method, route string) error {
	var now api.Sandbox // not s.Sandbox, which would keep what the answer leaves out
	if err := s.client.do(ctx, request{method: method, url: s.path(route)}, &now); err != nil {
		return err
	}
	s.Sandbox = now
	return nil
}

// Start starts a stopped sandbox and waits until it is started. Errors:
// *StateError when it does not start.
func (s *Sandbox) Start(ctx context.Context) error {
	if err := s.change(ctx, http.MethodPost, "/start"); err != nil {
		return s.notStarted(ctx, err)
	}
	return s.awaitStarted(ctx)
}

// Recover starts a sandbox that is in error and waits until it is started. Errors:
// ErrInvalid for one that is not in error, or that no start may mend; *StateError
// when it does not start.
func (s *Sandbox) Recover(ctx context.Context) error {
	if err := s.change(ctx, http.MethodPost, "/recover"); err != nil {
		return s.notStarted(ctx, err)
	}
	return s.awaitStarted(ctx)
}

// Stop ends everything in the sandbox and waits until it is stopped. Its disk
// stays. Errors: *StateError when it does not stop.
func (s *Sandbox) Stop(ctx context.Context) error {
	if err := s.change(ctx, http.MethodPost, "/stop"); err != nil {
		return err
	}
	return s.awaitStopped(ctx)
}

// Delete asks for the sandbox to go with its disk; WaitUntilDeleted waits for it.
func (s *Sandbox) Delete(ctx context.Context) error { return s.change(ctx, http.MethodDelete, "") }

// SetLabels replaces all labels.
func (s *Sandbox) SetLabels(ctx context.Context, labels map[string]string) error {
	if labels == nil {
		labels = map[string]string{}
	}
	if err := s.client.do(ctx, request{method: http.MethodPut, url: s.path("/labels"), body: api.SandboxLabels{Labels: labels}}, nil); err != nil {
		return err
	}
	return s.RefreshData(ctx)
}

// NetworkSettings change what a sandbox may reach. Nil stays as it is; an allow
// list ends a block of everything.
type NetworkSettings struct {
	BlockAll         *bool
	NetworkAllowList *string // networks, separated by commas; "" is none
	DomainAllowList  *string // domains, separated by commas; "*.example.com" is all below it
}

// UpdateNetworkSettings changes what the sandbox may reach, also while it runs:
// open connections that no longer pass are cut. Errors: ErrInvalid.
func (s *Sandbox) UpdateNetworkSettings(ctx context.Context, n NetworkSettings) error {
	ask := api.UpdateSandboxNetworkSettings{NetworkBlockAll: n.BlockAll, NetworkAllowList: n.NetworkAllowList, DomainAllowList: n.DomainAllowList}
	return s.client.do(ctx, request{method: http.MethodPost, url: s.path("/network-settings"), body: ask}, &s.Sandbox)
}

// Resize changes the sandbox's CPU, memory and disk; 0 stays as it is. One that
// runs has them at once. Errors: ErrInvalid, also when memory or disk would be
// less than what is in use, or over the quota.
func (s *Sandbox) Resize(ctx context.Context, r Resources) error {
	ask := api.ResizeSandbox{CPU: given(r.CPU), Memory: given(r.Memory), Disk: given(r.Disk)}
	return s.client.do(ctx, request{method: http.MethodPost, url: s.path("/resize"), body: ask}, &s.Sandbox)
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
	return s.change(ctx, http.MethodPost, "/"+which+"/"+strconv.Itoa(minutes))
}

// RefreshActivity says that the sandbox is in use, which puts off its auto-stop.
// Calls of Process, CodeInterpreter, FileSystem, Git, ComputerUse and LanguageServer say
// so by themselves.
func (s *Sandbox) RefreshActivity(ctx context.Context) error {
	return s.client.do(ctx, request{method: http.MethodPost, url: s.path("/last-activity"), body: api.UpdateLastActivity{}}, nil)
}

// StateError says that a sandbox or snapshot ended in another state than the
// one waited for.
type StateError struct {
	Noun   string // Sandbox or Snapshot
	Name   string // its name, or its id
	State  string
	Reason string // the server's, may be empty
}

// Error implements error.
func (e *StateError) Error() string {
	if e.Reason == "" {
		return fmt.Sprintf("%s %s is in state %s.", e.Noun, e.Name, e.State)
	}
	return fmt.Sprintf("%s %s is in state %s: %s", e.Noun, e.Name, e.State, e.Reason)
}

// notStarted turns the answer that the sandbox did not start into the StateError
// that a wait for it ends with; other errors stay. A server that knows the outcome
// soon enough answers with it, so callers would else have to expect both.
func (s *Sandbox) notStarted(ctx context.Context, err error) error {
	answer, ok := errors.AsType[*Error](err)
	if !ok || answer.Code != api.CodeStartFailed {
		return err
	}
	if s.ID == "" {
		s.ID = answer.sandboxID
	}
	e := &StateError{Noun: "Sandbox", State: string(api.SandboxError), Reason: answer.Message}
	if s.ID != "" && s.RefreshData(ctx) == nil && s.State == api.SandboxError {
		e.Reason = s.ErrorReason
	}
	e.Name = first(s.Name, s.ID)
	return e
}

// made is what a method returns that makes s, once the answer was err: the sandbox
// too, where there is one that did not start.
func (s *Sandbox) made(ctx context.Context, err error) (*Sandbox, error) {
	err = s.notStarted(ctx, err)
	if s.ID == "" {
		return nil, err
	}
	return s, err
}

// WaitUntilStarted returns when the sandbox is started. Errors: *StateError as
// soon as it cannot become so by itself (it failed, is stopped, or is being
// deleted); ErrNotFound when it has gone.
func (s *Sandbox) WaitUntilStarted(ctx context.Context) error {
	if s.State != api.SandboxStarted {
		if err := s.RefreshData(ctx); err != nil {
			return err
		}
	}
	return s.awaitStarted(ctx)
}

// WaitUntilStopped returns when the sandbox is stopped, or has gone, as an
// ephemeral one does. Errors: *StateError as soon as it cannot become so by
// itself (it failed, or nobody has asked it to stop).
func (s *Sandbox) WaitUntilStopped(ctx context.Context) error {
	if err := s.RefreshData(ctx); err != nil && !errors.Is(err, ErrNotFound) {
		return err
	} else if err != nil {
		s.State = api.SandboxDestroyed
	}
	return s.awaitStopped(ctx)
}

// WaitUntilDeleted returns when a sandbox that is being deleted has gone and its
// name is free. Errors: *StateError when nobody has asked for it.
func (s *Sandbox) WaitUntilDeleted(ctx context.Context) error {
	if s.DesiredState != string(api.SandboxDestroyed) {
		if err := s.RefreshData(ctx); err != nil {
			return ignoreGone(err)
		}
	}
	return ignoreGone(s.await(ctx, func() (bool, bool) {
		ephemeral := s.AutoDeleteInterval == 0 && s.DesiredState == string(api.SandboxStopped)
		return s.State == api.SandboxDestroyed, s.DesiredState != string(api.SandboxDestroyed) && !ephemeral
	}))
}

func ignoreGone(err error) error {
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	return err
}

func (s *Sandbox) awaitStarted(ctx context.Context) error {
	return s.await(ctx, func() (bool, bool) {
		switch s.State {
		case api.SandboxStarted:
			return true, false
		case api.SandboxError, api.SandboxBuildFailed, api.SandboxStopped, api.SandboxDestroying, api.SandboxDestroyed:
			return false, true
		}
		return false, false
	})
}

func (s *Sandbox) awaitStopped(ctx context.Context) error {
	err := s.await(ctx, func() (bool, bool) {
		switch s.State {
		case api.SandboxStopped, api.SandboxDestroyed, api.SandboxDestroying:
			return true, false
		case api.SandboxError:
			return false, true
		case api.SandboxStarted:
			return false, s.DesiredState == string(api.SandboxStarted)
		}
		return false, false
	})
	if errors.Is(err, ErrNotFound) {
		s.State = api.SandboxDestroyed
		return nil
	}
	return err
}

// await fetches the sandbox until what is seen of it is what was waited for, or
// something that it will never come of.
func (s *Sandbox) await(ctx context.Context, seen func() (there, never bool)) error {
	for pause := firstPause; ; pause = longer(pause) {
		there, never := seen()
		switch {
		case there:
			return nil
		case never:
			return &StateError{Noun: "Sandbox", Name: first(s.Name, s.ID), State: string(s.State), Reason: s.ErrorReason}
		}
		if err := sleep(ctx, pause); err != nil {
			return fmt.Errorf("wait for sandbox %s, which is %s: %w", first(s.Name, s.ID), s.State, err)
		}
		if err := outlast(ctx, func() error { return s.RefreshData(ctx) }); err != nil {
			return err
		}
	}
}

// Pauses between two looks at a state.
const (
	firstPause   = 50 * time.Millisecond
	longestPause = time.Second
)

func first(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

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
