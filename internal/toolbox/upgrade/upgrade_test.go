package upgrade

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/opendaytona/daytona/internal/toolbox/wire"
)

func serve(t *testing.T, f func(*websocket.Conn)) string {
	t.Helper()
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, err := WebSocket(w, r)
		if err != nil {
			return
		}
		defer conn.CloseNow()
		f(conn)
	}))
	t.Cleanup(web.Close)
	return web.URL
}

func TestAClientIsToldOneOfTheSubprotocolsThatItOffers(t *testing.T) {
	url := serve(t, func(conn *websocket.Conn) { conn.Close(websocket.StatusNormalClosure, "") })
	for _, c := range []struct {
		offered []string
		want    string
	}{
		{nil, ""},
		{[]string{"X-Daytona-SDK-Version~0.226.1"}, "X-Daytona-SDK-Version~0.226.1"},
		{[]string{ExitControl, Variables + "e30", "X-Daytona-SDK-Version~0.1.0"}, "X-Daytona-SDK-Version~0.1.0"},
		{[]string{Variables + "e30", "other", ExitControl}, ExitControl},
		{[]string{Variables + "e30", "first", "second"}, "first"},
		{[]string{Variables + "e30"}, Variables + "e30"},
		{[]string{"x-daytona-sdk-version~1", ExitControl}, "x-daytona-sdk-version~1"},
	} {
		conn, _, err := websocket.Dial(t.Context(), url, &websocket.DialOptions{Subprotocols: c.offered})
		if err != nil {
			t.Errorf("%q: %v", c.offered, err)
			continue
		}
		if got := conn.Subprotocol(); got != c.want {
			t.Errorf("%q: told %q, want %q", c.offered, got, c.want)
		}
		conn.CloseNow()
	}
}

func TestARequestThatIsNoWebSocketGetsAnEnvelope(t *testing.T) {
	url := serve(t, func(*websocket.Conn) {})
	for name, header := range map[string]map[string]string{
		"plain":       nil,
		"no key":      {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13"},
		"bad key":     {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "x"},
		"old version": {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "8", "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA=="},
	} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url+"/x", nil)
		if err != nil {
			t.Fatal(err)
		}
		for k, v := range header {
			r.Header.Set(k, v)
		}
		res, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(res.Body)
		res.Body.Close()
		var e wire.Envelope
		if err != nil || json.Unmarshal(text, &e) != nil || res.StatusCode != 400 || e.Code != wire.BadRequest || !strings.HasPrefix(e.Message, "open this route as a WebSocket") || e.Path != "/x" {
			t.Errorf("%s: %d %s, %v", name, res.StatusCode, text, err)
		}
	}
}

// Clients ping, and give up when nothing comes back.
func TestPingsAreAnsweredWhileDataIsWritten(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	url := serve(t, func(conn *websocket.Conn) {
		over := conn.CloseRead(ctx)
		for conn.Write(over, websocket.MessageBinary, make([]byte, 4096)) == nil {
		}
	})
	conn, _, err := websocket.Dial(ctx, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.CloseNow()
	defer cancel()
	go func() {
		for {
			if _, _, err := conn.Read(ctx); err != nil {
				return
			}
		}
	}()
	for range 3 {
		patience, done := context.WithTimeout(ctx, 10*time.Second)
		if err := conn.Ping(patience); err != nil {
			t.Error(err)
		}
		done()
	}
}
