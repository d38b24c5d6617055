package fileurl

import (
	"context"
	"errors"
	"strconv"
	"testing"
	"time"

	clock "k8s.io/utils/clock/testing"

	"github.com/opendaytona/daytona/internal/fault"
	"github.com/opendaytona/daytona/internal/signedtoken"
)

func TestSignaturesAreThoseOfTheClients(t *testing.T) {
	for _, c := range []struct {
		method, path string
		expires      int64
		want         string
	}{
		{"GET", "/home/user/a b.txt", 0, "v1_D8hbkmSJE2FheckYCtxGScLno_jRbB96aw-DQROfwyg"},
		{"POST", "data/in.bin", 1800000000, "v1_-FiE71IbKjjnqDPDalNkEdbrCCHeyOpx_hnzLIs29Zk"},
	} {
		if got := Sign("test-key", c.method, c.path, c.expires); got != c.want {
			t.Errorf("%s %s %d: %s, want %s", c.method, c.path, c.expires, got, c.want)
		}
	}
}

// boxes are sandboxes by id, all of one organization.
type boxes map[string]Sandbox

var errBroken = errors.New("the database does not answer")

func (b boxes) Find(_ context.Context, id string) (Sandbox, error) {
	if id == "broken" {
		return Sandbox{}, errBroken
	}
	sb, ok := b[id]
	if !ok {
		return Sandbox{}, fault.NotFound("SANDBOX_NOT_FOUND", "There is no such sandbox.")
	}
	return sb, nil
}

func (b boxes) Get(ctx context.Context, organizationID, id string) (Sandbox, error) {
	if organizationID != "org" {
		return Sandbox{}, fault.NotFound("SANDBOX_NOT_FOUND", "There is no such sandbox.")
	}
	return b.Find(ctx, id)
}

func (b boxes) Salt(ctx context.Context, organizationID, id string) (Sandbox, error) {
	sb, err := b.Get(ctx, organizationID, id)
	if err == nil {
		sb.Salt += "x"
		b[id] = sb
	}
	return sb, err
}

func service() *Service {
	return &Service{
		Sandboxes: boxes{"a": {ID: "a"}, "b": {ID: "b"}}, Secret: signedtoken.Key("secret"),
		Clock: clock.NewFakePassiveClock(time.Unix(1000, 999_999_999)),
	}
}

func (s *Service) mustKey(t *testing.T, id string) string {
	t.Helper()
	key, err := s.Key(t.Context(), "org", id)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func TestASignedURLIsGoodForWhatItSaysAndNothingElse(t *testing.T) {
	s := service()
	key := s.mustKey(t, "a")
	signed := func(path string, expires int64) URL {
		return URL{SandboxID: "a", Method: "GET", Path: path, Expires: strconv.FormatInt(expires, 10), Signature: Sign(key, "GET", path, expires)}
	}
	changed := func(change func(*URL)) URL {
		u := signed("f", 2000)
		change(&u)
		return u
	}
	for what, c := range map[string]struct {
		url  URL
		want fault.Kind // 0 for none
	}{
		"it":                       {signed("f", 2000), 0},
		"one of an odd path":       {signed("../ü %2F\n:0", 2000), 0},
		"one that never expires":   {signed("f", 0), 0},
		"one in its last second":   {signed("f", 1000), 0},
		"an expired one":           {signed("f", 999), fault.KindUnauthorized},
		"one of a negative time":   {signed("f", -1), fault.KindUnauthorized},
		"one of no path":           {signed("", 2000), fault.KindInvalid},
		"one of a key no more":     {changed(func(u *URL) { u.Signature = Sign("old", "GET", "f", 2000) }), fault.KindUnauthorized},
		"one of another sandbox":   {changed(func(u *URL) { u.SandboxID = "b" }), fault.KindUnauthorized},
		"one of no sandbox":        {changed(func(u *URL) { u.SandboxID = "c" }), fault.KindUnauthorized},
		"another method":           {changed(func(u *URL) { u.Method = "POST" }), fault.KindUnauthorized},
		"another path":             {changed(func(u *URL) { u.Path = "g" }), fault.KindUnauthorized},
		"the same file":            {changed(func(u *URL) { u.Path = "./f" }), fault.KindUnauthorized},
		"another time":             {changed(func(u *URL) { u.Expires = "2001" }), fault.KindUnauthorized},
		"no time":                  {changed(func(u *URL) { u.Expires = "" }), fault.KindUnauthorized},
		"the time otherwise":       {changed(func(u *URL) { u.Expires = "+2000" }), fault.KindUnauthorized},
		"the time with a zero":     {changed(func(u *URL) { u.Expires = "02000" }), fault.KindUnauthorized},
		"a time beyond all":        {changed(func(u *URL) { u.Expires = "99999999999999999999" }), fault.KindUnauthorized},
		"parts moved":              {changed(func(u *URL) { u.Path, u.Expires = "f:2000", "2000" }), fault.KindUnauthorized},
		"no signature":             {changed(func(u *URL) { u.Signature = "" }), fault.KindUnauthorized},
		"a signature cut":          {changed(func(u *URL) { u.Signature = u.Signature[:len(u.Signature)-1] }), fault.KindUnauthorized},
		"a signature of no kind":   {changed(func(u *URL) { u.Signature = u.Signature[len("v1_"):] }), fault.KindUnauthorized},
		"a signature padded":       {changed(func(u *URL) { u.Signature += "=" }), fault.KindUnauthorized},
		"a signature of many more": {changed(func(u *URL) { u.Signature += u.Signature }), fault.KindUnauthorized},
	} {
		err := s.Admit(t.Context(), c.url)
		if c.want == 0 && err != nil || c.want != 0 && !fault.Is(err, c.want) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if err := s.Admit(t.Context(), changed(func(u *URL) { u.SandboxID = "broken" })); !errors.Is(err, errBroken) {
		t.Errorf("a database that fails: %v", err)
	}
}

func TestARotationEndsTheURLsOfOneSandbox(t *testing.T) {
	s := service()
	url := func(id, key string) URL {
		return URL{SandboxID: id, Method: "POST", Path: "f", Expires: "0", Signature: Sign(key, "POST", "f", 0)}
	}
	a, b := s.mustKey(t, "a"), s.mustKey(t, "b")
	if a == b || a != s.mustKey(t, "a") {
		t.Fatalf("keys %q and %q", a, b)
	}
	next, err := s.Rotate(t.Context(), "org", "a")
	if err != nil || next == a || next != s.mustKey(t, "a") {
		t.Fatalf("%q became %q, %v", a, next, err)
	}
	if err := s.Admit(t.Context(), url("a", a)); !fault.Is(err, fault.KindUnauthorized) {
		t.Errorf("the old URL: %v", err)
	}
	if err := errors.Join(s.Admit(t.Context(), url("a", next)), s.Admit(t.Context(), url("b", b))); err != nil {
		t.Error(err)
	}
	for _, do := range []func(context.Context, string, string) (string, error){s.Key, s.Rotate} {
		if key, err := do(t.Context(), "other", "a"); !fault.Is(err, fault.KindNotFound) || key != "" {
			t.Errorf("another organization got %q, %v", key, err)
		}
	}
}
