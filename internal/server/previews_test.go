package server

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/opendaytona/daytona/internal/config"
	"github.com/opendaytona/daytona/internal/pki"

	"github.com/coder/websocket"
	"github.com/google/uuid"

	"github.com/opendaytona/daytona/internal/toolbox/port"
)

// previewServer is a server with a started sandbox "box" and an application on
// a port of it.
type previewServer struct {
	*testServer
	port int
	id   string
}

func startPreviews(t *testing.T, handle http.HandlerFunc, args ...string) *previewServer {
	t.Helper()
	agent := http.NewServeMux()
	port.Register(agent)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	app := &http.Server{Handler: handle, ReadHeaderTimeout: time.Minute}
	go func() { _ = app.Serve(l) }()
	t.Cleanup(func() { app.Close() })
	s := start(t, testConfig(t, append(args, "--mirror", "docker.io="+testHub(t))...), testHost(newMemoryEngine(t, agent)))
	s.call("POST", "/api/snapshots", `{"name":"snap","imageName":"library/small:1"}`, 200)
	s.eventually("the snapshot is active", func() bool { return s.call("GET", "/api/snapshots/snap", "", 200)["state"] == "active" })
	p := &previewServer{testServer: s, port: l.Addr().(*net.TCPAddr).Port}
	p.id = p.create("box")
	return p
}

func (p *previewServer) create(name string) string {
	p.Helper()
	return p.call("POST", "/api/sandbox", `{"snapshot":"snap","name":"`+name+`"}`, 200)["id"].(string)
}

// link is the URL and the token of the application's port in a sandbox.
func (p *previewServer) link(sandbox string) (url, token string) {
	p.Helper()
	l := p.call("GET", fmt.Sprintf("/api/sandbox/%s/ports/%d/preview-url", sandbox, p.port), "", 200)
	return l["url"].(string), l["token"].(string)
}

func (p *previewServer) sign(sandbox, query string) (url, token string) {
	p.Helper()
	l := p.call("GET", fmt.Sprintf("/api/sandbox/%s/ports/%d/signed-preview-url%s", sandbox, p.port, query), "", 200)
	return l["url"].(string), l["token"].(string)
}

func (p *previewServer) get(url string, header ...string) (int, string) {
	p.Helper()
	r, err := http.NewRequestWithContext(p.Context(), "GET", url, nil)
	if err != nil {
		p.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	res, err := p.client().Do(r)
	if err != nil {
		p.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		p.Fatal(err)
	}
	return res.StatusCode, string(text)
}

func (p *previewServer) wants(what string, status int, url string, header ...string) {
	p.Helper()
	if got, text := p.get(url, header...); got != status {
		p.Errorf("%s: %d, want %d: %s", what, got, status, text)
	}
}

const previewToken = "X-Daytona-Preview-Token"

func TestPrivatePreviewsOpenToTheirTokenAndTheirOrganizationOnly(t *testing.T) {
	s := startPreviews(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Connection", "close") // the memory's agent outlives the stop, as would connections to it
		fmt.Fprint(w, "app", r.Header.Get("Authorization"))
	})
	stranger := s.stranger()
	url, token := s.link("box")
	if status, text := s.get(url, previewToken, token); status != 200 || text != "app" {
		t.Errorf("with the token: %d %s", status, text)
	}
	if status, text := s.get(url, "Authorization", "Bearer "+s.creds.APIKey); status != 200 || text != "app" {
		t.Errorf("with a key: %d %s", status, text)
	}
	if status, text := s.get(url, previewToken, token, "Authorization", "Bearer the-app's-own"); status != 200 || text != "appBearer the-app's-own" {
		t.Errorf("with a token of the application's: %d %s", status, text)
	}
	if status, text := s.get(url, previewToken, token, "Authorization", "Bearer "+stranger); status != 200 || text != "app" {
		t.Errorf("the application saw a stranger's key: %d %s", status, text)
	}
	s.wants("by cookie", 200, url, "Cookie", "daytona-sandbox-auth-"+s.id+"="+token)
	s.wants("by query", 200, url+"/?DAYTONA_SANDBOX_AUTH_KEY="+token)

	other := s.create("other")
	_, othersToken := s.link("other")
	if othersToken == token {
		t.Error("two sandboxes have one token")
	}
	s.wants("without anything", 401, url)
	s.wants("wrong token", 401, url, previewToken, token[:len(token)-1]+"!")
	s.wants("empty token", 401, url, previewToken, "", "Cookie", "daytona-sandbox-auth-"+s.id+"=")
	s.wants("another sandbox's token", 401, url, previewToken, othersToken)
	s.wants("the token at another sandbox", 401, strings.Replace(url, s.id, other, 1), previewToken, token)
	s.wants("another organization's key", 401, url, "Authorization", "Bearer "+stranger)
	s.wants("a sandbox that is not there", 404, strings.Replace(url, s.id, uuid.NewString(), 1), previewToken, token)
	s.wants("the sandbox's name", 404, strings.Replace(url, s.id, "box", 1), previewToken, token)
	for _, path := range []string{"preview-url", "signed-preview-url"} {
		if status, _ := s.raw("GET", s.origin()+fmt.Sprintf("/api/sandbox/%s/ports/%d/%s", s.id, s.port, path), stranger, ""); status != 404 {
			t.Errorf("another organization got a %s: %d", path, status)
		}
	}

	s.call("POST", "/api/sandbox/box/public/true", "", 200)
	s.wants("public", 200, url)
	if _, text := s.get(url, "Authorization", "Bearer "+stranger); text != "app" {
		t.Errorf("a public application saw a key: %s", text)
	}
	s.call("POST", "/api/sandbox/box/public/false", "", 200)
	s.wants("private again", 401, url)

	s.call("POST", "/api/sandbox/box/stop", "", 200)
	s.wants("the token of before the stop", 401, url, previewToken, token)
	_, token = s.link("box")
	s.wants("stopped", 409, url, previewToken, token)
	s.call("POST", "/api/sandbox/box/start", "", 200)
	s.wants("started with the token of the stopped one", 200, url, previewToken, token)

	s.call("DELETE", "/api/sandbox/box", "", 200)
	s.wants("deleted", 404, url, previewToken, token)
	if status, _ := s.raw("GET", s.origin()+"/api/sandbox/other/ports/65536/preview-url", s.creds.APIKey, ""); status != 400 {
		t.Errorf("port 65536: %d", status)
	}
}

func TestSignedURLsOpenOnePortUntilTheyEnd(t *testing.T) {
	s := startPreviews(t, func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "app") })
	url, token := s.sign("box", "?expiresInSeconds=3600")
	s.wants("signed", 200, url)
	s.wants("signed, for another port", 401, strings.Replace(url, fmt.Sprintf("//%d-", s.port), "//80-", 1))
	s.wants("signed, by nobody", 401, strings.Replace(url, token, strings.Repeat("a", len(token)), 1))
	private, _ := s.link("box")
	s.wants("its token for the other URL", 401, private, previewToken, token)

	s.create("other")
	stranger := s.stranger()
	expire := "/api/sandbox/%s/ports/%d/signed-preview-url/%s/expire"
	s.call("POST", fmt.Sprintf(expire, "other", s.port, token), "", 404)
	s.call("POST", fmt.Sprintf(expire, "box", s.port+1, token), "", 404)
	if status, _ := s.raw("POST", s.origin()+fmt.Sprintf(expire, s.id, s.port, token), stranger, ""); status != 404 {
		t.Errorf("another organization expired it: %d", status)
	}
	s.wants("still signed", 200, url)
	s.call("POST", fmt.Sprintf(expire, "box", s.port, token), "", 200)
	s.wants("expired", 401, url)
	s.call("POST", fmt.Sprintf(expire, "box", s.port, token), "", 404)

	short, _ := s.sign("box", "?expiresInSeconds=1")
	kept, _ := s.sign("box", "")
	time.Sleep(1100 * time.Millisecond)
	s.wants("out of time", 401, short)
	s.wants("for a minute", 200, kept)
	for _, life := range []string{"0", "-1", "2592001", "9223372036854775807", "x"} {
		s.call("GET", fmt.Sprintf("/api/sandbox/box/ports/%d/signed-preview-url?expiresInSeconds=%s", s.port, life), "", 400)
	}
	s.call("DELETE", "/api/sandbox/box", "", 200)
	s.wants("deleted", 401, kept)
}

func TestTheServerAndPreviewsAreNeverAtOneHost(t *testing.T) {
	s := startPreviews(t, func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "app ", r.URL.Path) }, "--public-url", "http://api.example.com", "--proxy-domain", "example.com")
	s.call("POST", "/api/sandbox/box/public/true", "", 200)
	preview, _ := s.link("box")
	if want := fmt.Sprintf("http://%d-%s.example.com", s.port, s.id); preview != want {
		t.Errorf("the link is %s", preview)
	}
	host := strings.TrimPrefix(preview, "http://")
	send := func(target, host string) (string, string) {
		t.Helper()
		conn, err := net.Dial("tcp", s.http.Address().String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		fmt.Fprintf(conn, "GET %s HTTP/1.1\r\n%sAuthorization: Bearer %s\r\nConnection: close\r\n\r\n", target, host, s.creds.APIKey)
		res, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		text, _ := io.ReadAll(res.Body)
		return res.Status[:3], string(text)
	}
	for _, c := range []struct{ target, host, status, says string }{
		{"/api/sandbox", "Host: " + host + "\r\n", "200", "app /api/sandbox"},
		{"/api/health", "Host: " + strings.ToUpper(host) + ".:80\r\n", "200", "app /api/health"},
		{"/metrics", "Host: " + host + "\r\n", "200", "app /metrics"},
		{"/toolbox/box/version", "Host: " + host + "\r\n", "200", "app /toolbox"},
		{"/v2/", "Host: " + host + "\r\n", "200", "app /v2/"},
		{"http://" + host + "/api/sandbox", "Host: api.example.com\r\n", "200", "app /api/sandbox"}, // RFC 9112, section 3.2.2
		{"/api/sandbox", "Host: x.example.com\r\n", "404", "PREVIEW_NOT_FOUND"},
		{"/api/sandbox", "Host: api.api.example.com\r\n", "404", "PREVIEW_NOT_FOUND"},
		{"/api/health", "Host: api.example.com\r\n", "200", `"ok"`},
		{"/api/health", "Host: example.com\r\n", "200", `"ok"`},
		{"/api/health", "Host: 127.0.0.1\r\n", "200", `"ok"`},
		{"/api/health", "Host: " + host + ".evil.com\r\n", "200", `"ok"`},
		{"http://api.example.com/api/health", "Host: " + host + "\r\n", "200", `"ok"`},
		{"/api/health", "Host: " + host + "\r\nHost: api.example.com\r\n", "400", ""},
		{"/api/health", "Host: api.example.com\r\nHost: " + host + "\r\n", "400", ""},
	} {
		if status, text := send(c.target, c.host); status != c.status || !strings.Contains(text, c.says) {
			t.Errorf("%s %q: %s %.120s", c.target, c.host, status, text)
		}
	}
}

func TestPreviewsHaveCertificates(t *testing.T) {
	s := startPreviews(t, func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.Header.Get("X-Forwarded-Proto")) })
	s.call("POST", "/api/sandbox/box/public/true", "", 200)
	link, _ := s.link("box")
	u, err := url.Parse(link)
	if err != nil {
		t.Fatal(err)
	}
	trusted := x509.NewCertPool()
	ca, err := pki.OpenAuthority(s.Below(config.TLSName))
	if err != nil {
		t.Fatal(err)
	}
	trusted.AppendCertsFromPEM(ca.PEM())
	client := s.client()
	client.Transport.(*http.Transport).TLSClientConfig = &tls.Config{RootCAs: trusted}
	res, err := client.Get("https://" + u.Host)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if text, _ := io.ReadAll(res.Body); string(text) != "https" {
		t.Errorf("the application saw %s", text)
	}
	client.Transport.(*http.Transport).TLSClientConfig = &tls.Config{InsecureSkipVerify: true} //nolint:gosec // it must not come so far
	for _, foreign := range []string{"example.com", "evil-localhost", "localhost.evil.com"} {
		if res, err := client.Get("https://" + foreign); err == nil {
			res.Body.Close()
			t.Errorf("%s has a certificate", foreign)
		}
	}
}

func TestTheEndOfTheServerEndsWebSocketsOfPreviews(t *testing.T) {
	told := make(chan struct{})
	s := startPreviews(t, func(w http.ResponseWriter, r *http.Request) {
		defer close(told)
		c, err := websocket.Accept(w, r, nil)
		if err != nil {
			t.Error(err)
			return
		}
		defer c.CloseNow()
		_, _, _ = c.Read(context.Background())
	}, "--shutdown-timeout", "100ms")
	signed, _ := s.sign("box", "")
	c, _, err := websocket.Dial(t.Context(), strings.Replace(signed, "http", "ws", 1), &websocket.DialOptions{HTTPClient: s.client()})
	if err != nil {
		t.Fatal(err)
	}
	defer c.CloseNow()
	began := time.Now()
	s.stop()
	if took := time.Since(began); took > 3*time.Second {
		t.Errorf("the end took %s", took)
	}
	if _, _, err := c.Read(t.Context()); err == nil {
		t.Error("the client still reads")
	}
	<-told
}

func TestToolboxesHaveAHostOfTheirOwnWhereNamesAre(t *testing.T) {
	for name, c := range map[string]struct {
		args []string
		host string // "" is the API's
	}{
		"no names":          {nil, ""},
		"no public URL":     {[]string{"--proxy-domain", "preview.example.com"}, ""},
		"no domain":         {[]string{"--public-url", "http://daytona.example.com"}, ""},
		"both":              {[]string{"--public-url", "http://daytona.example.com", "--proxy-domain", "preview.example.com:8443"}, "toolbox.preview.example.com:8443"},
		"the host is taken": {[]string{"--public-url", "http://toolbox.example.com", "--proxy-domain", "example.com"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			s := startPreviews(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "app") }, c.args...)
			want := s.origin()
			if c.host != "" {
				want = "http://" + c.host
			}
			for _, path := range []string{"/api/sandbox/box", "/api/sandbox/box/toolbox-proxy-url"} {
				got := s.call("GET", path, "", 200)
				if got["toolboxProxyUrl"] != want+"/toolbox" && got["url"] != want+"/toolbox" {
					t.Errorf("%s names %v, %v; want it at %s", path, got["toolboxProxyUrl"], got["url"], want)
				}
			}
			if c.host == "" {
				return
			}
			key := "Bearer " + s.creds.APIKey
			for _, c := range []struct {
				host, path, key string
				status          int
			}{
				{c.host, "/toolbox/box/port/1/connect", key, 426}, // the agent's answer
				{strings.ToUpper(c.host), "/toolbox/box/port/1/connect", key, 426},
				{c.host, "/toolbox/box/port/1/connect", "", 401},
				{c.host, "/api/sandbox/box", key, 404},
				{c.host, "/metrics", key, 404},
				{c.host, "/v2/", key, 404},
				{"daytona.example.com", "/toolbox/box/port/1/connect", key, 426}, // as old clients know it
			} {
				r, err := http.NewRequestWithContext(t.Context(), "GET", "http://"+s.http.Address().String()+c.path, nil)
				if err != nil {
					t.Fatal(err)
				}
				r.Host = c.host
				r.Header.Set("Authorization", c.key)
				res, err := http.DefaultClient.Do(r)
				if err != nil {
					t.Fatal(err)
				}
				res.Body.Close()
				if res.StatusCode != c.status {
					t.Errorf("%s%s: %d, want %d", c.host, c.path, res.StatusCode, c.status)
				}
			}
		})
	}
}
