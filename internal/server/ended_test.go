package server

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/minio/minio-go/v7"
	s3 "github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/opendaytona/daytona/api"
	"github.com/opendaytona/daytona/internal/objectstore"
	"github.com/opendaytona/daytona/internal/snapshot"
)

// slowAgent has answers that never end.
func slowAgent(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/stream":
		fmt.Fprint(w, "begun")
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	case "/socket":
		c, err := websocket.Accept(w, r, nil)
		if err == nil {
			_, _, _ = c.Read(r.Context())
			_ = c.CloseNow()
		}
	case "/flood":
		for {
			if _, err := w.Write(make([]byte, 1<<20)); err != nil {
				return
			}
		}
	case "/sink":
		_, _ = io.Copy(io.Discard, r.Body)
	case "/silent":
		<-r.Context().Done()
	}
}

// slowBody sends a part, tells of it, and never comes to its end.
type slowBody struct {
	begun chan struct{}
	ctx   context.Context
	sent  int
}

func (b *slowBody) Read(p []byte) (int, error) {
	if b.sent++; b.sent == 1 {
		return copy(p, strings.Repeat("x", 4096)), nil
	}
	if b.sent == 2 {
		close(b.begun)
	}
	<-b.ctx.Done()
	return 0, b.ctx.Err()
}

// begin is how a request of each kind begins with a key; ended returns when it has
// ended, with what the client is told.
type begin func(t *testing.T, ctx context.Context, key string) (ended func() string)

// requestsThatLast are of every kind that may last. id is a running sandbox's.
func (ts *testServer) requestsThatLast(id string) map[string]begin {
	send := func(t *testing.T, ctx context.Context, key, method, path string, body io.Reader, auth func(*http.Request)) func() (*http.Response, error) {
		t.Helper()
		r, err := http.NewRequestWithContext(ctx, method, ts.origin()+path, body)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+key)
		r.Header.Set("Content-Type", "application/json")
		if auth != nil {
			auth(r)
		}
		type answer struct {
			*http.Response
			error
		}
		came := make(chan answer, 1)
		go func() {
			res, err := ts.client().Do(r)
			came <- answer{res, err}
		}()
		return func() (*http.Response, error) { a := <-came; return a.Response, a.error }
	}
	all := func(answer func() (*http.Response, error)) func() string {
		return func() string {
			res, err := answer()
			if err != nil {
				return err.Error()
			}
			defer res.Body.Close()
			text, err := io.ReadAll(res.Body)
			return fmt.Sprintf("%d %s %v", res.StatusCode, text, err)
		}
	}
	stream := func(path string) begin {
		return func(t *testing.T, ctx context.Context, key string) func() string {
			res, err := send(t, ctx, key, "GET", path, nil, nil)()
			if err == nil {
				_, err = io.ReadFull(res.Body, make([]byte, 5))
			}
			if err != nil || res.StatusCode != 200 {
				t.Fatalf("begin: %v, %v", res, err)
			}
			return func() string {
				defer res.Body.Close()
				_, err := io.Copy(io.Discard, res.Body)
				return fmt.Sprintf("ended with %v", err)
			}
		}
	}
	wait := func(t *testing.T, what string, begun <-chan struct{}) {
		t.Helper()
		select {
		case <-begun:
		case <-time.After(10 * time.Second):
			t.Fatal("never begun: " + what)
		}
	}
	return map[string]begin{
		"a stream of the toolbox": stream("/toolbox/" + id + "/stream"),
		"a log that is followed":  stream("/api/snapshots/slow/build-logs?follow=true"),
		"a request that the toolbox does not answer": func(t *testing.T, ctx context.Context, key string) func() string {
			answer := send(t, ctx, key, "GET", "/toolbox/"+id+"/silent", nil, nil)
			ts.eventually("the request goes on", func() bool { return ts.going() == 1 })
			return all(answer)
		},
		"an answer that the client does not read": func(t *testing.T, ctx context.Context, key string) func() string {
			res, err := send(t, ctx, key, "GET", "/toolbox/"+id+"/flood", nil, nil)()
			if err != nil {
				t.Fatal(err)
			}
			return func() string {
				ts.eventually("the request is over", func() bool { return ts.going() == 0 })
				res.Body.Close()
				return "ended with unexpected EOF"
			}
		},
		"an upload to the toolbox": func(t *testing.T, ctx context.Context, key string) func() string {
			b := &slowBody{begun: make(chan struct{}), ctx: ctx}
			answer := send(t, ctx, key, "POST", "/toolbox/"+id+"/sink", b, nil)
			wait(t, "the body", b.begun)
			return all(answer)
		},
		"a websocket of the toolbox": func(t *testing.T, ctx context.Context, key string) func() string {
			c, _, err := websocket.Dial(ctx, strings.Replace(ts.origin(), "http", "ws", 1)+"/toolbox/"+id+"/socket", &websocket.DialOptions{HTTPHeader: http.Header{"Authorization": {"Bearer " + key}}})
			if err != nil {
				t.Fatal(err)
			}
			return func() string {
				_, _, err := c.Read(ctx)
				return fmt.Sprintf("ended with %v", err)
			}
		},
		"events": func(t *testing.T, ctx context.Context, key string) func() string {
			c := ts.listen(key)
			return func() string {
				for {
					_, text, err := c.Read(ctx)
					if err != nil {
						return fmt.Sprintf("ended with %v", err)
					}
					if strings.HasPrefix(string(text), "44") {
						return string(text)
					}
				}
			}
		},
		aWait: func(t *testing.T, ctx context.Context, key string) func() string {
			answer := send(t, ctx, key, "POST", "/api/snapshots", strings.NewReader(fmt.Sprintf(`{"name":"slow-%d","imageName":"library/slow:1"}`, time.Now().UnixNano())), nil)
			ts.eventually("the request goes on", func() bool { return ts.going() == 1 })
			return all(answer)
		},
		"the upload of an archive": func(t *testing.T, ctx context.Context, key string) func() string {
			a := read[api.StorageAccess](t, ts.ask(key, "GET", "/object-storage/push-access", nil, 200))
			m, err := minio.New(strings.TrimPrefix(ts.origin(), "http://"), &minio.Options{
				Creds: s3.NewStaticV4(a.AccessKey, a.Secret, a.SessionToken), BucketLookup: minio.BucketLookupPath, Region: a.Region, MaxRetries: 1,
				Transport: &http.Transport{},
			})
			if err != nil {
				t.Fatal(err)
			}
			b := &slowBody{begun: make(chan struct{}), ctx: ctx}
			done := make(chan error, 1)
			go func() {
				_, err := m.PutObject(ctx, objectstore.Bucket, a.OrganizationID+"/0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef/context.tar", b, 1<<20, minio.PutObjectOptions{DisableMultipart: true})
				done <- err
			}()
			wait(t, "the archive", b.begun)
			return func() string { return fmt.Sprint(<-done) }
		},
		"a push": func(t *testing.T, ctx context.Context, key string) func() string {
			a := read[api.RegistryPushAccess](t, ts.ask(key, "GET", "/docker-registry/registry-push-access", nil, 200))
			login := func(r *http.Request) { r.SetBasicAuth(a.Username, a.Secret) }
			res, err := send(t, ctx, "", "POST", "/v2/"+a.Project+"/app/blobs/uploads/", nil, login)()
			if err != nil || res.StatusCode != 202 {
				t.Fatalf("begin an upload: %v, %v", res, err)
			}
			res.Body.Close()
			b := &slowBody{begun: make(chan struct{}), ctx: ctx}
			at := strings.TrimPrefix(res.Header.Get("Location"), ts.origin())
			answer := send(t, ctx, "", "PATCH", at, b, func(r *http.Request) { login(r); r.Header.Set("Content-Type", "application/octet-stream") })
			wait(t, "the layer", b.begun)
			return all(answer)
		},
	}
}

// aWait lasts for a second at most.
const aWait = "a snapshot that is waited for"

// going is how many requests go on.
func (ts *testServer) going() int {
	return ts.http.Requests()
}

func TestAKeyThatEndsEndsItsRequests(t *testing.T) {
	hub := testRegistry()
	slow := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.URL.Path, "/slow/") {
			<-r.Context().Done()
			return
		}
		hub.ServeHTTP(w, r)
	}))
	t.Cleanup(slow.Close)
	push(t, slow.URL, "library/small:1")
	t.Cleanup(slow.CloseClientConnections)
	ts := start(t, testConfig(t, "--mirror", "docker.io="+slow.URL), testHost(newMemoryEngine(t, http.HandlerFunc(slowAgent))))
	ts.snapshotOf(ts.creds.APIKey, "small", "library/small:1")
	id := ts.call("POST", "/api/sandbox", `{"snapshot":"small"}`, 200)["id"].(string)
	first, err := ts.db.Founder(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	organizations, err := ts.db.OrganizationsOf(t.Context(), first.ID)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ts.snapshots.Create(t.Context(), organizations[0].ID, false, snapshot.CreateParams{Name: "slow", ImageName: "library/slow:1"}); err != nil {
		t.Fatal(err)
	}
	for _, how := range []string{"deleted", "expired"} {
		for name, begin := range ts.requestsThatLast(id) {
			t.Run(how+", "+name, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
				defer cancel()
				var expires *time.Time
				if how == "expired" {
					if name == aWait {
						t.Skip("it is over before")
					}
					at := time.Now().Add(1500 * time.Millisecond)
					expires = &at
				}
				made := read[api.APIKeyCreated](t, ts.ask(ts.creds.APIKey, "POST", "/api-keys", api.CreateAPIKey{
					Name: "to end", Permissions: []api.Permission{api.WriteSandboxes, api.WriteSnapshots}, ExpiresAt: expires,
				}, 201))
				ended := begin(t, ctx, made.Value)
				told := make(chan string, 1)
				go func() { told <- ended() }()
				if expires == nil {
					select {
					case early := <-told:
						t.Fatalf("it ended by itself: %s", early)
					case <-time.After(100 * time.Millisecond):
					}
					ts.ask(ts.creds.APIKey, "DELETE", "/api-keys/to end", nil, 204)
				} else {
					defer ts.ask(ts.creds.APIKey, "DELETE", "/api-keys/to end", nil, 204)
				}
				select {
				case text := <-told:
					if !strings.Contains(text, "The API key was deleted") && !strings.Contains(text, "The API key expired") && !strings.Contains(text, "EOF") {
						t.Errorf("the client is told %q", text)
					}
				case <-time.After(8 * time.Second):
					t.Error("it goes on")
				}
				ts.eventually("it is over", func() bool { return ts.going() == 0 })
			})
		}
	}
}
