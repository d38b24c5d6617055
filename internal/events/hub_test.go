package events

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/opendaytona/daytona/internal/fault"
)

// start serves a hub that knows the keys "a" and "b", of organizations "A" and "B".
func start(t *testing.T, edit func(*Hub)) (*Hub, string) {
	t.Helper()
	h := New(Config{Log: slog.New(slog.DiscardHandler), Authenticate: func(_ context.Context, token, organization string) (Audience, error) {
		if token != "a" && token != "b" || organization != "" && organization != strings.ToUpper(token) {
			return Audience{}, fault.Unauthorized("The API key is not valid.")
		}
		return Audience{strings.ToUpper(token), token == "a"}, nil
	}})
	if edit != nil {
		edit(h)
	}
	s := httptest.NewServer(h)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := h.Close(ctx); err != nil {
			t.Error(err)
		}
		s.Close()
	})
	return h, "ws" + strings.TrimPrefix(s.URL, "http") + "/?EIO=4&transport=websocket"
}

type client struct {
	t  *testing.T
	ws *websocket.Conn
}

func dial(t *testing.T, url string) *client {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	ws, _, err := websocket.Dial(ctx, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	ws.SetReadLimit(-1)
	t.Cleanup(func() { _ = ws.CloseNow() })
	c := &client{t, ws}
	if m := c.read(); !strings.HasPrefix(m, `0{`) || !strings.Contains(m, `"pingInterval":`) {
		t.Fatalf("the first packet is %q", m)
	}
	return c
}

// read is the next message, or "closed".
func (c *client) read() string {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), 5*time.Second)
	defer cancel()
	_, b, err := c.ws.Read(ctx)
	if ctx.Err() != nil {
		c.t.Fatal("nothing came")
	}
	if err != nil {
		return "closed"
	}
	return string(b)
}

func (c *client) write(m string) {
	c.t.Helper()
	if err := c.ws.Write(c.t.Context(), websocket.MessageText, []byte(m)); err != nil {
		c.t.Fatal(err)
	}
}

// member is a client that has said who it is.
func member(t *testing.T, url, key string) *client {
	t.Helper()
	c := dial(t, url)
	c.write(`40{"token":"` + key + `"}`)
	if m := c.read(); !strings.HasPrefix(m, `40{"sid":`) {
		t.Fatalf("the welcome is %q", m)
	}
	return c
}

func TestEventsReachTheirOrganizationOnly(t *testing.T) {
	h, url := start(t, nil)
	a, b := member(t, url, "a"), member(t, url+"&organizationId=B", "b")
	h.Publish("A", "sandbox.created", map[string]string{"id": "1"}, nil)
	h.Publish("B", "sandbox.created", map[string]string{"id": "2"}, nil)
	h.Publish("", "snapshot.created", map[string]string{"id": "3"}, nil)
	for _, c := range []struct {
		who  *client
		want string
	}{{a, "1"}, {b, "2"}} {
		if got, want := c.who.read(), `42["sandbox.created",{"id":"`+c.want+`"}]`; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		if got, want := c.who.read(), `42["snapshot.created",{"id":"3"}]`; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	if n := h.Connections(); n != 2 {
		t.Errorf("%d connections, want 2", n)
	}
}

func TestWhoMayNotReadAllGetsTheReducedPayload(t *testing.T) {
	h, url := start(t, nil) // where "a" may read all, and "b" may not
	a, b := member(t, url, "a"), member(t, url, "b")
	h.Publish("", "e", "whole", "reduced")
	if got := a.read() + b.read(); got != `42["e","whole"]42["e","reduced"]` {
		t.Error(got)
	}
}

func TestStrangersAreTurnedAway(t *testing.T) {
	h, url := start(t, nil)
	for _, c := range []struct{ url, say, want string }{
		{url, `40{"token":"x"}`, `44{"message":"The API key is not valid."}`},
		{url, `40`, `44{"message":"The API key is not valid."}`},
		{url, `40[]`, "44{\"message\":\"The credential"},
		{url + "&organizationId=B", `40{"token":"a"}`, `44{"message":"The API key is not valid."}`},
		{url, `40/admin,{"token":"a"}`, `44/admin,{"message":"Invalid namespace"}`},
	} {
		who := dial(t, c.url)
		who.write(c.say)
		h.Publish("A", "secret", nil, nil)
		if got := who.read(); !strings.HasPrefix(got, c.want) {
			t.Errorf("%s: %s, want %s", c.say, got, c.want)
		}
	}
}

func TestOtherProtocolsAreRefused(t *testing.T) {
	h, _ := start(t, nil)
	for _, url := range []string{"/?EIO=3&transport=websocket", "/?EIO=4&transport=polling"} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest("GET", url, nil))
		if w.Code != 400 || !strings.Contains(w.Body.String(), `"message"`) {
			t.Errorf("%s: %d %s", url, w.Code, w.Body)
		}
	}
}

func TestASlowClientIsCutOffAndSlowsNobody(t *testing.T) {
	h, url := start(t, nil)
	slow := member(t, url, "a")
	quick := member(t, url, "b")
	payload := strings.Repeat("x", 100<<10)
	began := time.Now()
	for range 300 { // 30 MB: more than all buffers between
		h.Publish("A", "big", payload, nil)
	}
	if d := time.Since(began); d > 2*time.Second {
		t.Errorf("publishing took %v", d)
	}
	h.Publish("B", "small", 1, nil)
	if got := quick.read(); got != `42["small",1]` {
		t.Error(got)
	}
	n := 0
	for slow.read() != "closed" {
		n++
	}
	if n >= 300 {
		t.Error("the slow client got everything")
	}
}

func TestSilentClientsAreDropped(t *testing.T) {
	_, url := start(t, func(h *Hub) { h.timing.ping, h.timing.pong = 50*time.Millisecond, 50*time.Millisecond })
	c := member(t, url, "a")
	for range 3 {
		if m := c.read(); m != "2" {
			t.Fatal(m)
		}
		c.write("3")
	}
	if m := c.read(); m != "2" {
		t.Fatal(m)
	}
	if m := c.read(); m != "closed" {
		t.Fatal(m)
	}
}

func TestClientsMustSayWhoTheyAre(t *testing.T) {
	_, url := start(t, func(h *Hub) { h.timing.connect = 50 * time.Millisecond })
	if m := dial(t, url).read(); m != "closed" {
		t.Fatal(m)
	}
}

func TestADeletedKeyStopsHearing(t *testing.T) {
	h, _ := start(t, nil)
	var end context.CancelCauseFunc
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var ctx context.Context
		ctx, end = context.WithCancelCause(r.Context())
		h.ServeHTTP(w, r.WithContext(ctx))
	}))
	defer s.Close()
	c := member(t, "ws"+strings.TrimPrefix(s.URL, "http")+"/?EIO=4&transport=websocket", "a")
	end(fault.Unauthorized("The API key was deleted."))
	if m := c.read(); m != `44{"message":"The API key was deleted."}` {
		t.Fatal(m)
	}
	if m := c.read(); m != "closed" {
		t.Fatal(m)
	}
}

func TestClientsEventsAreIgnored(t *testing.T) {
	h, url := start(t, nil)
	c := member(t, url, "a")
	for _, m := range []string{"", "4", `42["hello"]`, `4212["ask",1]`, `451-["file",{"_placeholder":true,"num":0}]`, "9", `40{"token":"a"}`} {
		c.write(m)
	}
	h.Publish("A", "still", 1, nil)
	if got := c.read(); got != `42["still",1]` {
		t.Error(got)
	}
	c.write("41")
	if m := c.read(); m != "closed" {
		t.Fatal(m)
	}
}

func TestAnOrganizationHasALimitedNumberOfConnections(t *testing.T) {
	_, url := start(t, func(h *Hub) { h.limits.organization = 1 })
	member(t, url, "a")
	member(t, url, "b")
	c := dial(t, url)
	c.write(`40{"token":"a"}`)
	if m := c.read(); !strings.HasPrefix(m, "44") {
		t.Fatal(m)
	}
}

func TestClosingEndsEverything(t *testing.T) {
	h, url := start(t, nil)
	for range 100 {
		member(t, url, "a")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	for range 2 {
		if err := h.Close(ctx); err != nil {
			t.Fatal(err)
		}
	}
	if n := h.Connections(); n != 0 {
		t.Errorf("%d connections are left", n)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("GET", "/?EIO=4&transport=websocket", nil))
	if w.Code != 503 {
		t.Error(w.Code)
	}
}
