// Package daytona is the Go SDK: sandboxes, snapshots, and what runs in them,
// by the names of the official SDKs. It imports only package api of the project,
// whose types it returns. Start at NewClient; sandbox.go, snapshot.go, image.go,
// process.go, codeinterpreter.go, filesystem.go and git.go have a noun each.
package daytona

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"

	"github.com/opendaytona/daytona/api"
)

// DefaultAPIURL is where a server listens unless it is told otherwise.
const DefaultAPIURL = "http://127.0.0.1:3986/api"

// Config says which server to talk to, and as whom.
type Config struct {
	APIKey         string
	APIURL         string // "" is DefaultAPIURL
	OrganizationID string // "" is the key's own
	Target         string // region of new sandboxes; "" is the organization's default
	UserAgent      string
	HTTPClient     *http.Client // nil is one without a time limit
}

// Client talks to one server. Its methods may run at once.
type Client struct {
	config   Config
	Snapshot *SnapshotService
	Registry *RegistryService
	WarmPool *WarmPoolService
}

// NewClient reads DAYTONA_API_KEY, DAYTONA_API_URL, DAYTONA_ORGANIZATION_ID and
// DAYTONA_TARGET. Errors: ErrUnauthorized without a key.
func NewClient() (*Client, error) {
	return NewClientWithConfig(Config{
		APIKey: os.Getenv("DAYTONA_API_KEY"), APIURL: os.Getenv("DAYTONA_API_URL"),
		OrganizationID: os.Getenv("DAYTONA_ORGANIZATION_ID"), Target: os.Getenv("DAYTONA_TARGET"),
	})
}

// NewClientWithConfig makes a client; nothing is sent yet. Errors:
// ErrUnauthorized without a key, ErrInvalid for a bad URL.
func NewClientWithConfig(c Config) (*Client, error) {
	c.APIKey = strings.TrimSpace(c.APIKey) // a file's last line often ends in one
	if c.APIKey == "" {
		return nil, &Error{StatusCode: http.StatusUnauthorized, Code: "NO_API_KEY", Message: "No API key: set DAYTONA_API_KEY, or Config.APIKey."}
	}
	if c.APIURL == "" {
		c.APIURL = DefaultAPIURL
	}
	c.APIURL = strings.TrimRight(c.APIURL, "/")
	if u, err := url.Parse(c.APIURL); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, &Error{StatusCode: http.StatusBadRequest, Code: "BAD_API_URL", Message: fmt.Sprintf("The API's URL %q is not valid: write it as http://host:3986/api.", c.APIURL)}
	}
	if c.HTTPClient == nil {
		c.HTTPClient = &http.Client{}
		if standard, ok := http.DefaultTransport.(*http.Transport); ok {
			transport := standard.Clone()
			transport.MaxIdleConnsPerHost = 64 // all calls go to one host
			c.HTTPClient.Transport = transport
		}
	}
	if c.UserAgent == "" {
		c.UserAgent = "daytona-go"
	}
	client := &Client{config: c}
	client.Snapshot = &SnapshotService{client: client}
	client.Registry = &RegistryService{client: client}
	client.WarmPool = &WarmPoolService{client: client}
	return client, nil
}

// APIURL is the server's, without a slash at its end.
func (c *Client) APIURL() string { return c.config.APIURL }

// Error is an answer that is no success, or a server that does not answer
// (StatusCode 0).
type Error struct {
	StatusCode int    // of HTTP
	Code       string // for programs, in SCREAMING_SNAKE
	Message    string // one sentence for people that says what to do
	Source     string // DAYTONA_API, DAYTONA_PROXY or DAYTONA_DAEMON (in the sandbox); may be empty
	Method     string
	URL        string
	sandboxID  string // with CodeStartFailed
	cause      error
}

// Error implements error.
func (e *Error) Error() string { return e.Message }

// Unwrap returns what kept the server from answering.
func (e *Error) Unwrap() error { return e.cause }

// Kinds of Error, to be matched by errors.Is.
var (
	ErrInvalid      = errors.New("invalid request")       // 400, 413, 422; also over a quota
	ErrUnauthorized = errors.New("not authenticated")     // 401: no key, or a bad one
	ErrForbidden    = errors.New("not permitted")         // 403: the key lacks a permission
	ErrNotFound     = errors.New("not found")             // 404
	ErrConflict     = errors.New("conflict")              // 409: the name is taken, or the state does not allow it
	ErrGone         = errors.New("gone")                  // 410: a session or command that has ended
	ErrTimeout      = errors.New("timed out")             // 408, 504: it took longer than was asked
	ErrRateLimit    = errors.New("too many requests")     // 429
	ErrUnreachable  = errors.New("server is unreachable") // no answer, 502, 503
)

var kinds = map[int]error{
	0:                                ErrUnreachable,
	http.StatusBadRequest:            ErrInvalid,
	http.StatusRequestEntityTooLarge: ErrInvalid,
	http.StatusUnprocessableEntity:   ErrInvalid,
	http.StatusUnauthorized:          ErrUnauthorized,
	http.StatusForbidden:             ErrForbidden,
	http.StatusNotFound:              ErrNotFound,
	http.StatusConflict:              ErrConflict,
	http.StatusGone:                  ErrGone,
	http.StatusRequestTimeout:        ErrTimeout,
	http.StatusGatewayTimeout:        ErrTimeout,
	http.StatusTooManyRequests:       ErrRateLimit,
	http.StatusBadGateway:            ErrUnreachable,
	http.StatusServiceUnavailable:    ErrUnreachable,
}

// Is tells whether the answer is of that kind.
func (e *Error) Is(kind error) bool { return kinds[e.StatusCode] == kind && kind != nil }

// request is one call of the API, or of a sandbox's toolbox.
type request struct {
	method string
	url    string // absolute, or a path of the API
	query  url.Values
	body   any       // sent as JSON
	raw    io.Reader // or as it is
	kind   string    // content type of raw
	tunnel bool      // the answer's body is a connection
}

// do sends the request and decodes the answer's JSON into out, unless that is nil.
func (c *Client) do(ctx context.Context, r request, out any) error {
	resp, err := c.send(ctx, r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if out == nil || resp.StatusCode == http.StatusNoContent {
		// To its end, so that the connection can be used again.
		_, err = io.Copy(io.Discard, resp.Body)
	} else {
		err = json.NewDecoder(resp.Body).Decode(out)
	}
	var syntax *json.SyntaxError
	var mismatch *json.UnmarshalTypeError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &syntax), errors.As(err, &mismatch), err == io.EOF:
		return &Error{
			StatusCode: resp.StatusCode, Code: "BAD_ANSWER", Method: r.method, URL: resp.Request.URL.Path, cause: err,
			Message: fmt.Sprintf("What answers at %s is not the API (%v): check the URL; it ends in /api.", resp.Request.URL.Redacted(), err),
		}
	}
	return c.failed(ctx, r, fmt.Errorf("read the answer: %w", err))
}

// send returns the answer if it is a success; the caller closes its body.
func (c *Client) send(ctx context.Context, r request) (*http.Response, error) {
	address := r.url
	if strings.HasPrefix(address, "/") {
		address = c.config.APIURL + address
	}
	if len(r.query) > 0 {
		address += "?" + r.query.Encode()
	}
	body := r.raw
	if r.body != nil {
		b, err := json.Marshal(r.body)
		if err != nil {
			return nil, fmt.Errorf("encode %s %s: %w", r.method, r.url, err)
		}
		body, r.kind = bytes.NewReader(b), "application/json"
	}
	req, err := http.NewRequestWithContext(ctx, r.method, address, body)
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", r.method, address, err)
	}
	c.authorize(req.Header)
	if r.kind != "" {
		req.Header.Set("Content-Type", r.kind)
	}
	if r.tunnel {
		req.Header.Set("Connection", "Upgrade")
		req.Header.Set("Upgrade", "tcp")
	}
	resp, err := c.config.HTTPClient.Do(req)
	if err != nil {
		return nil, c.failed(ctx, r, err)
	}
	if resp.StatusCode >= 300 {
		defer resp.Body.Close()
		return nil, readError(resp)
	}
	return resp, nil
}

// clientSource tells servers which client this is: not the official one for Go, for
// which they do some things in another way.
const clientSource = "opendaytona-go"

func (c *Client) authorize(h http.Header) {
	h.Set("Authorization", "Bearer "+c.config.APIKey)
	h.Set("User-Agent", c.config.UserAgent)
	h.Set("X-Daytona-Source", clientSource)
	if c.config.OrganizationID != "" {
		h.Set("X-Daytona-Organization-ID", c.config.OrganizationID)
	}
}

// failed is the error of a request that got no answer.
func (c *Client) failed(ctx context.Context, r request, err error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("%s %s: %w", r.method, r.url, ctx.Err())
	}
	var source *sourceError
	if errors.As(err, &source) {
		return source
	}
	var cause *url.Error
	if errors.As(err, &cause) {
		err = cause.Err
	}
	return &Error{
		Code: "UNREACHABLE", Method: r.method, URL: r.url, cause: err,
		Message: fmt.Sprintf("The server at %s does not answer (%v): check the URL and that it runs.", c.config.APIURL, err),
	}
}

func readError(resp *http.Response) error {
	e := &Error{StatusCode: resp.StatusCode, Method: resp.Request.Method, URL: resp.Request.URL.Path}
	b, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	var said api.Error
	if err == nil && json.Unmarshal(b, &said) == nil && said.Message != "" {
		e.Code, e.Message, e.Source, e.sandboxID = said.Code, said.Message, said.Source, said.SandboxID
		return e
	}
	e.Message = fmt.Sprintf("The server answered %s to %s %s: check that the API's URL is right; it ends in /api.", resp.Status, e.Method, e.URL)
	return e
}
