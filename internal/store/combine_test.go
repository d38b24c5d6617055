package store

import (
	"cmp"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/opendaytona/daytona/internal/sandbox"
)

// How a list is read depends on its filters together, its order and its size.
func TestFiltersOrdersAndPagesCombine(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "db"))
	snap := newSnapshot("org", "snap")
	if err := s.InsertSnapshot(t.Context(), snap, anySnapshots); err != nil {
		t.Fatal(err)
	}
	var all []*sandbox.Sandbox
	began := time.Now().Add(-time.Hour).Truncate(time.Millisecond)
	for i := range 12 {
		sb := newSandbox("org", fmt.Sprintf("box-%02d", (i*5)%12), snap)
		sb.CreatedAt, sb.Resources.CPU = began.Add(time.Duration(i)*time.Second), i%3
		sb.Labels = map[string]string{"all": "yes"}
		if i%6 == 0 {
			sb.Labels["few"] = "yes"
		}
		if i == 7 {
			sb.Name = "other"
		}
		all = append(all, sb)
		if err := s.InsertSandbox(t.Context(), sb, anyUsage); err != nil {
			t.Fatal(err)
		}
	}
	compare := map[sandbox.SortField]func(a, b *sandbox.Sandbox) int{
		sandbox.SortCreated: func(a, b *sandbox.Sandbox) int { return a.CreatedAt.Compare(b.CreatedAt) },
		sandbox.SortName:    func(a, b *sandbox.Sandbox) int { return cmp.Compare(a.Name, b.Name) },
		sandbox.SortCPU: func(a, b *sandbox.Sandbox) int {
			return cmp.Or(cmp.Compare(a.Resources.CPU, b.Resources.CPU), cmp.Compare(a.ID, b.ID))
		},
	}
	for _, labels := range []map[string]string{nil, {"all": "yes"}, {"few": "yes"}, {"all": "yes", "few": "yes"}, {"few": "no"}} {
		for _, prefix := range []string{"", "box", "BOX-0", "none"} {
			for sort, order := range compare {
				for _, descending := range []bool{false, true} {
					var want []string
					ordered := slices.SortedFunc(slices.Values(all), order)
					if descending {
						slices.Reverse(ordered)
					}
					for _, sb := range ordered {
						has := strings.HasPrefix(sb.Name, strings.ToLower(prefix))
						for key, value := range labels {
							has = has && sb.Labels[key] == value
						}
						if has {
							want = append(want, sb.Name)
						}
					}
					for _, limit := range []int{1, 5, 100} {
						f := sandbox.Filter{OrganizationID: "org", Labels: labels, NamePrefix: prefix, Sort: sort, Descending: descending, Limit: limit}
						where := fmt.Sprintf("labels %v, prefix %q, by %s, descending %t, %d a page", labels, prefix, sort, descending, limit)
						if got := byCursor(t, s, f); !slices.Equal(got, want) {
							t.Errorf("%s: listed %v, want %v", where, got, want)
						}
						if got := byNumber(t, s, f, len(want)); !slices.Equal(got, want) {
							t.Errorf("%s: the pages have %v, want %v", where, got, want)
						}
					}
				}
			}
		}
	}
}

func byCursor(t *testing.T, s *Store, f sandbox.Filter) (names []string) {
	t.Helper()
	for {
		page, next, err := s.ListSandboxes(t.Context(), f)
		if err != nil {
			t.Fatalf("list %+v: %v", f, err)
		}
		for _, sb := range page {
			names = append(names, sb.Name)
		}
		if f.Cursor = next; next == "" {
			return names
		}
	}
}

func byNumber(t *testing.T, s *Store, f sandbox.Filter, total int) (names []string) {
	t.Helper()
	for number := 1; ; number++ {
		page, n, err := s.PageSandboxes(t.Context(), f, number)
		if err != nil || n != total {
			t.Fatalf("page %d of %+v: %d in all, %v; want %d", number, f, n, err, total)
		}
		if len(page) == 0 {
			return names
		}
		for _, sb := range page {
			names = append(names, sb.Name)
		}
	}
}
