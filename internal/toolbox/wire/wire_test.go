package wire

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/iotest"
)

func TestTextIsTheSameAsTheStandardLibrarysForValidText(t *testing.T) {
	for _, text := range []string{"", "plain", "quote \" back \\ tab \t line \n null \x00 del \x7f", "héé 漢字 🎉", strings.Repeat("漢", 20_000)} {
		for name, wrap := range map[string]func(io.Reader) io.Reader{
			"whole": func(r io.Reader) io.Reader { return r }, "byte by byte": iotest.OneByteReader, "halves": iotest.HalfReader,
		} {
			var out bytes.Buffer
			if err := Text(&out, wrap(strings.NewReader(text))); err != nil {
				t.Fatal(err)
			}
			var got string
			if err := json.Unmarshal(out.Bytes(), &got); err != nil || got != text {
				t.Errorf("%s: %.40q came back as %.40q, error %v", name, text, got, err)
			}
		}
	}
}

func TestTextReplacesWhatIsNotUTF8(t *testing.T) {
	for in, want := range map[string]string{
		"\xff": "\ufffd", "a\xc3": "a\ufffd", "\xe6\xbc": "\ufffd\ufffd", "\xe6\xbc\xa2\xc3(": "漢\ufffd(", "\xed\xa0\x80": "\ufffd\ufffd\ufffd",
	} {
		var out bytes.Buffer
		if err := Text(&out, iotest.OneByteReader(strings.NewReader(in))); err != nil {
			t.Fatal(err)
		}
		var got string
		if err := json.Unmarshal(out.Bytes(), &got); err != nil || got != want {
			t.Errorf("%q came back as %q, want %q, error %v", in, got, want, err)
		}
	}
}

func TestTextOfAnyBytesIsValidJSON(t *testing.T) {
	random := rand.NewChaCha8([32]byte{1})
	for range 50 {
		b := make([]byte, 1+random.Uint64()%100_000)
		_, _ = random.Read(b)
		var out bytes.Buffer
		if err := Text(&out, bytes.NewReader(b)); err != nil {
			t.Fatal(err)
		}
		if !json.Valid(out.Bytes()) {
			t.Fatal("not valid JSON")
		}
	}
}

func TestTextPassesOnAReadError(t *testing.T) {
	if err := Text(io.Discard, iotest.TimeoutReader(iotest.OneByteReader(strings.NewReader("abc")))); !errors.Is(err, iotest.ErrTimeout) {
		t.Errorf("error %v", err)
	}
}

func TestErrorsOfTheSystemHaveStatusAndCode(t *testing.T) {
	for _, c := range []struct {
		err    error
		status int
		code   Code
	}{
		{&os.PathError{Op: "open", Path: "/x", Err: syscall.ENOENT}, 404, FileNotFound},
		{&os.PathError{Op: "open", Path: "/x", Err: syscall.EACCES}, 403, FileAccessDenied},
		{&os.PathError{Op: "open", Path: "/x", Err: syscall.EROFS}, 403, FileAccessDenied},
		{&os.PathError{Op: "open", Path: "/x", Err: syscall.EISDIR}, 400, BadRequest},
		{&os.PathError{Op: "rmdir", Path: "/x", Err: syscall.ENOTEMPTY}, 400, BadRequest},
		{&os.PathError{Op: "mkdir", Path: "/x", Err: syscall.EEXIST}, 409, Conflict},
		{&os.PathError{Op: "write", Path: "/x", Err: syscall.ENOSPC}, 507, Internal},
		{&os.PathError{Op: "write", Path: "/x", Err: syscall.EDQUOT}, 507, Internal},
		{syscall.EAGAIN, 503, Internal},
		{fmt.Errorf("wrapped: %w", Bad("no")), 400, BadRequest},
		{errors.New("else"), 500, Internal},
	} {
		if e := From(c.err); e.Status != c.status || e.Code != c.code {
			t.Errorf("%v: %d %s, want %d %s", c.err, e.Status, e.Code, c.status, c.code)
		}
	}
}

func TestDecodeNamesWhatIsWrong(t *testing.T) {
	for body, want := range map[string]string{
		``: "empty", `{"n":"x"}`: `field "n" must be an integer, not string`, `[1]`: "must be a JSON object, not array", `{"n":`: "unexpected EOF",
		`{"s":5}`: `field "s" must be an object, not number`,
	} {
		var v struct {
			N int               `json:"n"`
			S map[string]string `json:"s"`
		}
		r := httptest.NewRequest(http.MethodPost, "/x", strings.NewReader(body))
		err := Decode(httptest.NewRecorder(), r, &v)
		var e *Error
		if !errors.As(err, &e) || e.Status != 400 || e.Code != InvalidRequestBody || !strings.Contains(e.Message, want) {
			t.Errorf("%s: %v, want %q", body, err, want)
		}
	}
}

func TestDecodeRefusesTooLargeBodies(t *testing.T) {
	big := io.MultiReader(strings.NewReader(`{"s":"`), io.LimitReader(zeros{}, MaxBody+1))
	var v struct{ S string }
	err := Decode(httptest.NewRecorder(), httptest.NewRequest(http.MethodPost, "/x", big), &v)
	if e := From(err); e.Status != http.StatusRequestEntityTooLarge {
		t.Errorf("%d %v", e.Status, err)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = '0'
	}
	return len(p), nil
}

func TestFailAnswersWithTheEnvelope(t *testing.T) {
	w := httptest.NewRecorder()
	Fail(w, httptest.NewRequest(http.MethodPost, "/a/b?c=d", nil), Errorf(410, SessionEnded, "over"))
	var env Envelope
	if err := json.Unmarshal(w.Body.Bytes(), &env); err != nil {
		t.Fatal(err)
	}
	if env.Timestamp == "" {
		t.Error("no timestamp")
	}
	env.Timestamp = ""
	want := Envelope{StatusCode: 410, Message: "over", Error: "Gone", Code: SessionEnded, Source: "DAYTONA_DAEMON", Path: "/a/b", Method: "POST"}
	if w.Code != 410 || fmt.Sprint(env) != fmt.Sprint(want) {
		t.Errorf("%d %+v", w.Code, env)
	}
}
