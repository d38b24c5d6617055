package interpreter

import (
	"strings"
	"testing"
)

func TestStateStaysAndNothingIsEchoed(t *testing.T) {
	t.Parallel()
	s := newSandbox(t)
	s.prints("", "import math\nx = 20\ndef f(n): return n * 2 + x\nx")
	s.prints("42 3.14 __main__\n", "print(f(11), round(math.pi, 2), __name__)")
	s.prints("None\n", "class C: pass\nimport pickle\nprint(pickle.loads(pickle.dumps(C)).__doc__)")
	s.prints("[''] True\n", "import sys, os\nprint(sys.argv, os.getcwd() == "+`"`+s.home+`")`)
}

func TestStreamsComeInTheOrderOfWriting(t *testing.T) {
	t.Parallel()
	s := newSandbox(t)
	r := s.run(`
import sys, subprocess, os
for i in range(50):
    print("out", i)
    print("err", i, file=sys.stderr)
    subprocess.run(["sh", "-c", f"echo child {i}; sleep 0.001"]) if i % 25 == 0 else None
print("flushed")
os.write(1, b"raw\n")
print("last", end="")
`)
	var got []string
	for _, m := range r.messages {
		for _, line := range strings.SplitAfter(m.Text, "\n") {
			if line != "" && m.Type != "control" {
				got = append(got, m.Type+" "+line)
			}
		}
	}
	at := 0
	for i := range 50 {
		want := []string{"stdout out ", "stderr err "}
		if i%25 == 0 {
			want = append(want, "stdout child ")
		}
		for _, w := range want {
			if at >= len(got) || !strings.HasPrefix(got[at], w) {
				t.Fatalf("line %d is %q, want %q", at, got[min(at, len(got)-1)], w)
			}
			at++
		}
	}
	if rest := strings.Join(got[at:], ""); rest != "stdout flushed\nstdout raw\nstdout last" {
		t.Errorf("the end is %q", rest)
	}
}

func TestOutputComesWhileTheCodeRuns(t *testing.T) {
	t.Parallel()
	s := newSandbox(t)
	conn := s.dial(body{"code": "import time\nprint('now')\ntime.sleep(600)"})
	_, b, err := conn.Read(t.Context())
	if err != nil || string(b) != `{"type":"stdout","text":"now\n","name":"","value":"","traceback":""}` {
		t.Errorf("%s, %v", b, err)
	}
	conn.CloseNow()
	for _, c := range s.service.contexts {
		s.service.forget(c)
	}
}

func TestTextOfAnyKindArrives(t *testing.T) {
	t.Parallel()
	s := newSandbox(t)
	s.prints("äöü € 漢字 🎉 \x00\x1b[1m <&> \u2028\n", `print("äöü € 漢字 🎉 \0\x1b[1m <&> \u2028")`)
	s.prints(strings.Repeat("漢", 30_000), `print("漢" * 30_000, end="")`)
	s.prints("a\ufffdb\ufffd", `import os; os.write(1, b"a\xffb\xe6")`)
	s.prints("a\\ud800\n", `print("a\ud800")`)
	s.prints("", "pass")
	r := s.run("input()")
	if r.failure.Name != "EOFError" {
		t.Errorf("%+v", r)
	}
}

func TestErrorsHaveNameValueAndTheFramesOfTheCode(t *testing.T) {
	t.Parallel()
	s := newSandbox(t)
	s.run("def f(x):\n    return 1 / x  # by nought\n")
	for _, c := range []struct{ code, name, value, traceback string }{
		{"\n\nf(0)", "ZeroDivisionError", "division by zero", "  File \"<stdin>\", line 2, in f\n    return 1 / x  # by nought\n"},
		{"\n\nf(0)", "ZeroDivisionError", "division by zero", "Traceback (most recent call last):\n  File \"<stdin>\", line 3, in <module>\n    f(0)\n"},
		{"import json; json.loads('x')", "JSONDecodeError", "Expecting value: line 1 column 1 (char 0)",
			"Traceback (most recent call last):\n  File \"<stdin>\", line 1, in <module>\n    import json; json.loads('x')\n"},
		{"raise ValueError", "ValueError", "", "Traceback (most recent call last):\n  File \"<stdin>\", line 1, in <module>\n    raise ValueError\nValueError\n"},
		{"x = 0; 1 / x", "ZeroDivisionError", "division by zero", "    x = 0; 1 / x\n           ~~^~~\n"},
		{"x = = 1", "SyntaxError", "invalid syntax (<stdin>, line 1)", "SyntaxError: invalid syntax\n"},
		{"if True:\nx", "IndentationError", "expected an indented block", "IndentationError: expected an indented block"},
		{"await x", "SyntaxError", "'await' outside function (<stdin>, line 1)", "SyntaxError: 'await' outside function\n"},
		{"try: 1/0\nexcept ZeroDivisionError as e: raise KeyError('k') from e", "KeyError", "'k'",
			"\nThe above exception was the direct cause of the following exception:\n"},
		{"class E(Exception):\n    def __str__(self): raise TypeError\nraise E", "E", "", "E: <"},
		{"def g(): g()\ng()", "RecursionError", "maximum recursion depth exceeded", "Previous line repeated"},
		{"raise KeyboardInterrupt", "KeyboardInterrupt", "", "KeyboardInterrupt\n"},
	} {
		r := s.run(c.code)
		if r.failure.Name != c.name || !strings.HasPrefix(r.failure.Value, c.value) || !strings.Contains(r.failure.Traceback, c.traceback) ||
			strings.Contains(r.failure.Traceback, "daytona") || strings.Contains(r.failure.Traceback, "json/") || r.stderr != "" ||
			strings.HasSuffix(c.name, "SyntaxError") && strings.Count(r.failure.Traceback, "\n") != 1 {
			t.Errorf("%q: %+v, %q", c.code, r.failure, r.stderr)
		}
	}
	r := s.run("raise ValueError('x' * 10_000_000)")
	if n := len(r.failure.Value); n < 10_000 || n > 20_000 {
		t.Errorf("a value of %d bytes", n)
	}
	s.prints("still here\n", "print('still here')")
}

func TestSystemExitIsNoError(t *testing.T) {
	t.Parallel()
	s := newSandbox(t)
	for code, said := range map[string]string{"x = 1\nimport sys; sys.exit()": "", "exit(3)": "", "raise SystemExit('bad')": "bad\n"} {
		if r := s.run(code); r.failure.Type != "" || r.stderr != said || r.stdout != "" {
			t.Errorf("%s: %+v", code, r)
		}
	}
	s.prints("1\n", "print(x)")
}

func TestVariablesAreThoseOfTheRun(t *testing.T) {
	t.Parallel()
	s := newSandbox(t, "KEPT", "before", "GONE", "there")
	show := `import os; print(*(os.environ.get(n) for n in ("KEPT", "GONE", "NEW")), os.popen("echo $NEW").read().strip())`
	s.prints("during None x y x y\n", show, "envs", body{"KEPT": "during", "GONE": nil, "NEW": "x y"})
	s.prints("before there None \n", show)
	s.run("os.environ['KEPT'] = 'changed'; os.environ['NEW'] = 'set'; 1/0", "envs", body{"KEPT": "during"})
	s.prints("before there set set\n", show)
}

func TestContextsAreApartAndTheDefaultOneIsNotListed(t *testing.T) {
	t.Parallel()
	s := newSandbox(t)
	if got := string(s.call("GET", "/process/interpreter/context", "", 200)); got != `{"contexts":[]}`+"\n" {
		t.Error(got)
	}
	s.prints("", "x = 1")
	one, two := s.create(`{}`), s.create(`{"cwd":"/usr","language":"python"}`)
	if one.Cwd != s.home || two.Cwd != "/usr" || !one.Active || one.Language != "python" || len(one.ID) != 36 || one.CreatedAt.IsZero() {
		t.Errorf("%+v %+v", one, two)
	}
	s.prints("/usr\n", "import os; print(os.getcwd()); x = 2", "contextId", two.ID)
	if r := s.run("x", "contextId", one.ID); r.failure.Name != "NameError" {
		t.Errorf("%+v", r)
	}
	s.prints("1\n", "print(x)", "contextId", nil)
	s.prints("1\n", "print(x)", "contextId", "default")
	if got := string(s.call("GET", "/process/interpreter/context", "", 200)); strings.Count(got, `"id"`) != 2 || strings.Index(got, one.ID) > strings.Index(got, two.ID) {
		t.Error(got)
	}
	s.call("DELETE", "/process/interpreter/context/"+one.ID, "", 200)
	s.fails("DELETE", "/process/interpreter/context/"+one.ID, "", 404, "PROCESS_NOT_FOUND")
	s.fails("DELETE", "/process/interpreter/context/default", "", 400, "BAD_REQUEST")
	s.fails("POST", "/process/interpreter/context", `{"language":"ruby"}`, 400, "BAD_REQUEST")
	s.fails("POST", "/process/interpreter/context", `{"cwd":"/no/such"}`, 400, "BAD_REQUEST")
	s.fails("POST", "/process/interpreter/context", `{"cwd":7}`, 400, "INVALID_REQUEST_BODY")
	if got := string(s.call("GET", "/process/interpreter/context", "", 200)); strings.Count(got, `"id"`) != 1 {
		t.Error(got)
	}
}

func TestBadRequestsAreRefusedByTheCloseCode(t *testing.T) {
	t.Parallel()
	s := newSandbox(t)
	for text, want := range map[string]ran{
		"nonsense":                           {code: 1002},
		`[1]`:                                {code: 1002, reason: "invalid request: it must be a JSON object, not array"},
		`{"code":7}`:                         {code: 1002, reason: `invalid request: field "code" must be a string, not number`},
		`{"code":"1","timeout":0.5}`:         {code: 1002},
		`{"code":" \n"}`:                     {code: 1008, reason: "code is missing"},
		`{"code":"1","timeout":-1}`:          {code: 1008, reason: "timeout must be a number of seconds, or 0 for none; it is -1"},
		`{"code":"1","envs":{"A B":"c"}}`:    {code: 1008},
		`{"code":"1","envs":{"A":"\u0000"}}`: {code: 1008},
		`{"code":"1","contextId":"` + strings.Repeat("漢", 60) + `"}`: {code: 1008},
	} {
		r := s.read(s.dial(text))
		if r.code != want.code || r.reason == "" || len(r.reason) > 123 || want.reason != "" && r.reason != want.reason || len(r.messages) != 0 {
			t.Errorf("%s: %+v", text, r)
		}
	}
	s = newSandbox(t, "PATH", "/nowhere")
	if s.service.launcher.Find("python3") == "" {
		t.Skip("python3 is not in a usual directory")
	}
	s.prints("found\n", "print('found')")
}
