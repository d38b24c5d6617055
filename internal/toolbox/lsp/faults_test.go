package lsp

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/opendaytona/daytona/internal/toolbox/wire"
)

// program is a language server whose conduct is Python: on(method, params) returns
// a result. The end of its input is its end.
const program = `#!/usr/bin/python3
import json, os, sys, time
i, o = sys.stdin.buffer, sys.stdout.buffer
def raw(b):
    o.write(b); o.flush()
def frame(b):
    raw(b"Content-Length: %d\r\n\r\n" % len(b) + b)
def send(**m):
    frame(json.dumps({"jsonrpc": "2.0", **m}).encode())
class Refuse(Exception): pass
HOLD = object() # no answer
seen = []
def on(method, params): return None
@@
while True:
    n = 0
    while True:
        line = i.readline()
        if not line: sys.exit(0)
        if line == b"\r\n": break
        n = int(line.split(b":")[1])
    m = json.loads(i.read(n))
    seen.append(m)
    if "method" not in m: continue
    if m["method"] == "exit": sys.exit(0)
    try:
        r = on(m["method"], m.get("params"))
        if "id" in m and r is not HOLD: send(id=m["id"], result=r)
    except Refuse as e:
        if "id" in m: send(id=m["id"], error={"code": e.args[0], "message": e.args[1]})
`

// misbehaving is a sandbox with such a server, started.
func misbehaving(t *testing.T, conduct string) (client, *Service) {
	t.Helper()
	need(t, "python3")
	s := newSandbox(t, "/usr/bin:/bin", strings.ReplaceAll(program, "@@", conduct))
	s.put("project/a.py", "x = 1\n")
	s.service.limits = limits{start: 30 * time.Second, request: 30 * time.Second, stop: 300 * time.Millisecond, crashes: 2, memory: time.Minute}
	return client{s, "python", "project"}, s.service
}

func (c client) asked(status int, code wire.Code) string {
	c.t.Helper()
	return c.fails("GET", "/lsp/document-symbols"+c.query("uri", "project/a.py"), nil, status, code)
}

func TestAServerThatDoesNotAnswerIsWaitedForOnlySoLong(t *testing.T) {
	c, s := misbehaving(t, `
def on(method, params):
    if "Symbol" in method:
        while True:
            time.sleep(3600)
`)
	c.do("start", nil)
	s.limits.request = 200 * time.Millisecond
	if told := c.asked(http.StatusRequestTimeout, wire.RequestTimeout); !strings.Contains(told, "pylsp did not answer textDocument/documentSymbol within 200ms") {
		t.Error(told)
	}
	s.limits.request = time.Hour
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if w := c.sendContext(ctx, "GET", "/lsp/document-symbols"+c.query("uri", "project/a.py"), nil); w.Code != http.StatusRequestTimeout {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	one := c.running()
	c.do("stop", nil) // which it does not take part in
	isGone(t, one.process.Pid)
}

func TestACancelledRequestIsToldToTheServer(t *testing.T) {
	c, _ := misbehaving(t, `
def on(method, params):
    if method == "textDocument/completion": return HOLD
    if method == "textDocument/documentSymbol":
        return [{"name": json.dumps([m["params"]["id"] for m in seen if m.get("method") == "$/cancelRequest"]), "kind": 1}]
`)
	c.do("start", nil)
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	c.sendContext(ctx, "POST", "/lsp/completions", c.body(body{"uri": "project/a.py", "position": position{}}))
	if got := names(c.documentSymbols("project/a.py")); got != "[2]" {
		t.Errorf("cancelled requests are %s", got)
	}
}

func TestAServerThatCannotBeStartedSaysWhy(t *testing.T) {
	for name, c := range map[string]struct{ conduct, want string }{
		"ends":             {`print("no module named x", file=sys.stderr); sys.exit(3)`, "start pylsp: exit code 3: no module named x"},
		"killed":           {`import signal; os.kill(os.getpid(), signal.SIGKILL)`, "start pylsp: exit code 137"},
		"closes":           {"os.close(1); time.sleep(3600)", "start pylsp: it closed its output"},
		"prints":           {`raw(b"Hello! Welcome.\n"); time.sleep(3600)`, "it does not speak the Language Server Protocol: it wrote 'Hello! Welcome.'"},
		"binary":           {`raw(os.urandom(1 << 20)); time.sleep(3600)`, "it does not speak the Language Server Protocol"},
		"endless line":     {`raw(b"x" * (1 << 20)); time.sleep(3600)`, "it does not speak the Language Server Protocol"},
		"endless headers":  {`raw(b"X: y\r\n" * (1 << 16)); time.sleep(3600)`, "it does not speak the Language Server Protocol"},
		"negative":         {`raw(b"Content-Length: -1\r\n\r\n"); time.sleep(3600)`, "it does not speak the Language Server Protocol"},
		"huge":             {`raw(b"Content-Length: 99999999999\r\n\r\n"); time.sleep(3600)`, "it sent a message of 99999999999 bytes"},
		"half a message":   {`raw(b"Content-Length: 100\r\n\r\n{"); sys.exit(4)`, "start pylsp: exit code 4"},
		"not JSON":         {`frame(b"hello"); time.sleep(3600)`, "its message is not JSON-RPC"},
		"other JSON":       {`frame(b"[1, 2]"); time.sleep(3600)`, "its message is not JSON-RPC"},
		"deep JSON":        {`frame(b"[" * 1000000); time.sleep(3600)`, "its message is not JSON-RPC"},
		"refuses":          {"def on(method, params): raise Refuse(-32603, 'not here')", "start pylsp: not here"},
		"never reads":      {"time.sleep(3600)", "did not answer within 1s"},
		"never answers":    {"def on(method, params): time.sleep(3600)", "did not answer within 1s"},
		"other answers":    {"def on(method, params):\n    for i in range(9): send(id=i + 5, result=1); send(id='x', result=2); send(id=None)\n    time.sleep(3600)", "did not answer within 1s"},
		"result of no use": {"def on(method, params): return 7", "read the answer to initialize"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c2, s := misbehaving(t, c.conduct)
			s.limits.start = time.Second
			if !strings.Contains(c.want, "within") {
				s.limits.start = 30 * time.Second
			}
			told := c2.fails("POST", "/lsp/start", c2.body(nil), http.StatusInternalServerError, wire.Internal)
			if !strings.Contains(told, c.want) {
				t.Errorf("%s, want %s", told, c.want)
			}
			c2.asked(http.StatusBadRequest, wire.LSPServerNotInitialized)
		})
	}
}

func TestAServerThatEndsWhileItAnswersIsStartedAgainSoManyTimes(t *testing.T) {
	c, _ := misbehaving(t, `
def on(method, params):
    if method == "textDocument/documentSymbol":
        print("the reason", file=sys.stderr)
        os._exit(9)
`)
	c.do("start", nil)
	c.do("did-open", body{"uri": "project/a.py"})
	for range 3 { // the first one, and two that were started for it
		if told := c.asked(http.StatusBadRequest, wire.LSPServerNotInitialized); !strings.Contains(told, "pylsp has ended, and the next request starts it again: exit code 9: the reason") {
			t.Fatal(told)
		}
	}
	for range 2 {
		if told := c.asked(http.StatusBadRequest, wire.LSPServerNotInitialized); !strings.Contains(told, "more than 2 times within 1m0s") || !strings.Contains(told, "the reason") {
			t.Error(told)
		}
	}
	c.do("start", nil)
	c.do("did-close", body{"uri": "project/a.py"})
	c.do("stop", nil)
}

func TestAFloodOfWhatNobodyAskedForIsReadAndForgotten(t *testing.T) {
	c, _ := misbehaving(t, `
def on(method, params):
    if method == "textDocument/documentSymbol":
        one = b'{"jsonrpc":"2.0","method":"window/logMessage","params":{"message":"%s"}}' % (b"x" * 60000)
        for _ in range(300): frame(one)
        for n in range(1000): send(id=n, method="workspace/configuration", params={"items": [{}, {}]})
        send(id="s", method="window/nonsense")
        return [{"name": "after", "kind": 1}]
    if method == "textDocument/completion":
        ids = [m for m in seen if "method" not in m]
        assert len(ids) == 1001, len(ids)
        assert all(m["result"] == [None, None] for m in ids[:1000]), ids[0]
        assert ids[1000]["error"]["code"] == -32601 and ids[1000]["id"] == "s"
        return None
`)
	c.do("start", nil)
	if got := names(c.documentSymbols("project/a.py")); got != "after" {
		t.Error(got)
	}
	if got := c.completions("project/a.py", 0, 0); len(got.Items) != 0 || got.IsIncomplete {
		t.Errorf("%+v", got)
	}
}

func TestHugeAnswersComeWholeAndLongerOnesEndTheServer(t *testing.T) {
	c, _ := misbehaving(t, `
def on(method, params):
    if method == "textDocument/documentSymbol": return [{"name": "x" * (9 << 20), "kind": 1}]
    if method == "textDocument/completion": return ["x" * (33 << 20)]
`)
	c.do("start", nil)
	if got := c.documentSymbols("project/a.py"); len(got) != 1 || len(got[0].Name) != 9<<20 {
		t.Errorf("%d symbols", len(got))
	}
	one := c.running()
	told := c.fails("POST", "/lsp/completions", c.body(body{"uri": "project/a.py", "position": position{}}), http.StatusBadRequest, wire.LSPServerNotInitialized)
	if !strings.Contains(told, "it sent a message of") {
		t.Error(told)
	}
	isGone(t, one.process.Pid)
}

func TestEveryFormOfAnswerBecomesTheClients(t *testing.T) {
	c, _ := misbehaving(t, `
symbols = [
    {"name": "tree", "kind": 5, "detail": "x", "range": {"start": {"line": 1, "character": 2}, "end": {"line": 3, "character": 4}}, "selectionRange": {},
     "children": [{"name": "child", "kind": 6, "range": {"start": {"line": 2, "character": 0}, "end": {"line": 2, "character": 1}}}]},
    {"name": "flat", "kind": 12, "containerName": "x", "tags": [1], "location": {"uri": "file:///odd%2fname%40", "range": {"start": {"line": 0, "character": 0}, "end": {"line": 0, "character": 9}}}},
    {"name": "elsewhere", "kind": 12, "location": {"uri": "jdt://contents/x"}},
]
items = [
    {"label": "a", "kind": 3, "documentation": "text", "textEdit": {"newText": "a()", "range": {}}, "data": {"x": 1}, "tags": None, "command": None},
    {"label": "b", "documentation": {"kind": "markdown", "value": "*b*"}, "insertText": "b", "detail": None, "sortText": "0", "filterText": "f"},
    {"label": "c", "documentation": None, "kind": None},
]
answers = [items, {"isIncomplete": True, "items": items}, None, {"isIncomplete": False, "items": None}]
def on(method, params):
    if method == "initialize": return {"capabilities": {"workspaceSymbolProvider": {"workDoneProgress": False}}}
    if method == "workspace/symbol":
        if params["query"] == "null": return None
        if params["query"] == "missing": raise Refuse(-32601, "unknown method")
        return symbols
    if method == "textDocument/documentSymbol": return symbols
    if method == "textDocument/completion":
        if params["context"] != {"triggerKind": 2, "triggerCharacter": "."}: raise Refuse(1, "context " + json.dumps(params["context"]))
        return answers.pop(0)
`)
	c.do("start", nil)
	here := fileURI(c.at("project/a.py"))
	want := fmt.Sprintf(`[{"name":"tree","kind":5,"location":{"uri":"%[1]s","range":{"start":{"line":1,"character":2},"end":{"line":3,"character":4}}}},`+
		`{"name":"child","kind":6,"location":{"uri":"%[1]s","range":{"start":{"line":2,"character":0},"end":{"line":2,"character":1}}}},`+
		`{"name":"flat","kind":12,"location":{"uri":"file:///odd/name@","range":{"start":{"line":0,"character":0},"end":{"line":0,"character":9}}}},`+
		`{"name":"elsewhere","kind":12,"location":{"uri":"jdt://contents/x","range":{"start":{"line":0,"character":0},"end":{"line":0,"character":0}}}}]`, here)
	if w := c.send("GET", "/lsp/document-symbols"+c.query("uri", "project/a.py"), nil); strings.TrimSpace(w.Body.String()) != want {
		t.Errorf("%s\nwant %s", w.Body, want)
	}
	if got := names(c.workspaceSymbols("x")); got != "tree child flat elsewhere" {
		t.Error(got)
	}
	if got := c.workspaceSymbols("null"); len(got) != 0 {
		t.Errorf("%+v", got)
	}
	c.put("project/b.py", "# missing here\n")
	if got := c.workspaceSymbols("missing"); len(got) != 0 { // no symbol's name has it
		t.Errorf("%+v", got)
	}
	items := `[{"label":"a","kind":3,"documentation":{"kind":"plaintext","value":"text"},"insertText":"a()"},` +
		`{"label":"b","documentation":{"kind":"markdown","value":"*b*"},"sortText":"0","filterText":"f","insertText":"b"},{"label":"c"}]`
	for _, want := range []string{`{"isIncomplete":false,"items":` + items + `}`, `{"isIncomplete":true,"items":` + items + `}`, `{"isIncomplete":false,"items":[]}`, `{"isIncomplete":false,"items":[]}`} {
		w := c.send("POST", "/lsp/completions", c.body(body{"uri": "project/a.py", "position": position{}, "context": body{"triggerKind": 2, "triggerCharacter": "."}}))
		if strings.TrimSpace(w.Body.String()) != want {
			t.Errorf("%s\nwant %s", w.Body, want)
		}
	}
	if told := c.fails("POST", "/lsp/completions", c.body(body{"uri": "project/a.py", "position": position{}, "context": body{"triggerKind": 1}}), 400, wire.BadRequest); !strings.Contains(told, "pylsp: context {") {
		t.Error(told)
	}
}

func TestManyAtOnceShareOneServerAndOneStart(t *testing.T) {
	c, _ := misbehaving(t, `
opened = {}
def on(method, params):
    uri = (params or {}).get("textDocument", {}).get("uri")
    if method == "textDocument/didOpen":
        assert uri not in opened, "opened twice"
        opened[uri] = params["textDocument"]["text"]
    if method == "textDocument/didClose": del opened[uri]
    if method == "textDocument/documentSymbol": return [{"name": opened[uri].strip(), "kind": 1}]
    if method == "initialize": open("started", "a").write("x"); return {"capabilities": {}}
`)
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if w := c.send("POST", "/lsp/start", c.body(nil)); w.Code != http.StatusOK {
				t.Errorf("%d %s", w.Code, w.Body)
				return
			}
			for range 10 {
				if w := c.send("GET", "/lsp/document-symbols"+c.query("uri", "project/a.py"), nil); w.Code != http.StatusOK || !strings.Contains(w.Body.String(), `"x = 1"`) {
					t.Errorf("%d %s", w.Code, w.Body)
				}
			}
		})
	}
	wg.Wait()
	if b, err := os.ReadFile(c.at("project/started")); err != nil || string(b) != "x" {
		t.Errorf("started %q: %v", b, err)
	}
	if !c.running().documents.empty() {
		t.Error("documents are left open")
	}
	c.do("stop", nil)
	c.do("start", nil)
	c.do("stop", nil)
}

func TestAClientThatLeavesEndsTheStart(t *testing.T) {
	c, _ := misbehaving(t, `open("pid", "w").write(str(os.getpid())); time.sleep(3600)`)
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if w := c.sendContext(ctx, "POST", "/lsp/start", c.body(nil)); w.Code != http.StatusRequestTimeout {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	b, err := os.ReadFile(c.at("project/pid"))
	if err != nil {
		t.Fatal(err)
	}
	var pid int
	_, _ = fmt.Sscan(string(b), &pid)
	isGone(t, pid)
}

func TestProcessesThatAServerLeavesEndWithIt(t *testing.T) {
	c, _ := misbehaving(t, `
pid = os.fork()
if pid == 0:
    time.sleep(3600)
open("pid", "w").write(str(pid))
`)
	c.do("start", nil)
	b, err := os.ReadFile(c.at("project/pid"))
	if err != nil {
		t.Fatal(err)
	}
	var pid int
	_, _ = fmt.Sscan(string(b), &pid)
	if err := unix.Kill(c.running().process.Pid, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	isGone(t, pid)
}

func TestRequestsThatNameNoServer(t *testing.T) {
	s := newSandbox(t, "/nowhere", "")
	s.put("file", "")
	for _, c := range []struct {
		body   body
		status int
		want   string
	}{
		{body{}, 400, "languageId is missing"},
		{body{"languageId": "cobol", "pathToProject": "p"}, 400, "languageId is one of python, typescript, javascript, go, rust, c, cpp, java"},
		{body{"languageId": "python"}, 400, "pathToProject is missing"},
		{body{"languageId": "python", "pathToProject": "a\x00b"}, 400, "NUL"},
		{body{"languageId": "python", "pathToProject": "file"}, 400, "is not a directory"},
	} {
		if told := s.fails("POST", "/lsp/start", c.body, c.status, wire.BadRequest); !strings.Contains(told, c.want) {
			t.Errorf("%v: %s", c.body, told)
		}
	}
	s.fails("POST", "/lsp/start", body{"languageId": 7}, 400, wire.InvalidRequestBody)
	s.fails("GET", "/lsp/workspacesymbols?query=x&languageId=cobol&pathToProject=x", nil, 400, wire.BadRequest)
	s.fails("POST", "/lsp/did-close", body{"languageId": "python", "pathToProject": strings.Repeat("p", 9999), "uri": "x"}, 400, wire.LSPServerNotInitialized)
}

func TestAMissingServerIsToldWithTheWayToInstallIt(t *testing.T) {
	s := newSandbox(t, "/nowhere", "")
	for _, l := range languages {
		if _, err := os.Stat("/usr/bin/" + l.argv[0]); err == nil {
			continue // this machine has it where every image has its programs
		}
		for _, id := range l.ids {
			told := s.fails("POST", "/lsp/start", body{"languageId": id, "pathToProject": "p"}, 500, wire.Internal)
			if !strings.Contains(told, "this sandbox has no "+l.argv[0]+": install it ("+l.install+")") {
				t.Error(told)
			}
		}
	}
}

func TestServersOfTheUsersOwnAreFound(t *testing.T) {
	s := newSandbox(t, "/nowhere", "")
	s.put("go/bin/gopls", strings.ReplaceAll(program, "@@", ""))
	if err := os.Chmod(s.at("go/bin/gopls"), 0o755); err != nil {
		t.Fatal(err)
	}
	c := client{s, "go", "not made yet"}
	c.do("start", nil)
	c.do("stop", nil)
}

func TestMessagesAreReadAsTheProtocolHasThem(t *testing.T) {
	for text, want := range map[string]string{
		"Content-Length: 2\r\n\r\n{}":                                           "{}",
		"content-length:2\r\nContent-Type: x; charset=utf-8\r\n\r\n{}":          "{}",
		"Content-Length: 2\n\n{}":                                               "{}",
		"Content-Type: application/vscode-jsonrpc\r\nContent-Length: 0\r\n\r\n": "",
	} {
		var b bytes.Buffer
		if err := readMessage(bufio.NewReader(strings.NewReader(text)), &b); err != nil || b.String() != want {
			t.Errorf("%q: %q, %v", text, b.String(), err)
		}
	}
	if err := readMessage(bufio.NewReader(strings.NewReader("")), new(bytes.Buffer)); err != io.EOF {
		t.Error(err)
	}
}

func FuzzMessages(f *testing.F) {
	f.Add([]byte("Content-Length: 2\r\n\r\n{}Content-Length: 9\r\n\r\n{"))
	f.Fuzz(func(t *testing.T, text []byte) {
		in := bufio.NewReaderSize(bytes.NewReader(text), 128)
		for range len(text) + 1 {
			var b bytes.Buffer
			if readMessage(in, &b) != nil {
				return
			}
			if b.Len() > len(text) {
				t.Fatalf("%d bytes of %d", b.Len(), len(text))
			}
		}
		t.Error("more messages than bytes")
	})
}

func FuzzAnswers(f *testing.F) {
	f.Add([]byte(`[{"name":"a","kind":1,"children":[{"name":"b"}]}]`))
	f.Add([]byte(`{"items":[{"label":"a","documentation":"x"}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		if symbols, err := readSymbols(text, "file:///x"); err == nil && symbols == nil {
			t.Error("no list")
		}
		if list, err := readCompletions(text); err == nil && list.Items == nil {
			t.Error("no list")
		}
	})
}
