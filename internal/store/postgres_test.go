package store

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"

	"github.com/uptrace/bun"

	"github.com/opendaytona/daytona/internal/fault"
	"github.com/opendaytona/daytona/internal/sandbox"
)

func TestTwoServersDoNotShareADatabase(t *testing.T) {
	if pg == nil {
		return // the claim of the data directory sees to it
	}
	url := databaseAt(t, t.TempDir())
	first, err := Open(t.Context(), url, testKey, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	second, err := Open(t.Context(), url, testKey, slog.New(slog.DiscardHandler))
	if !errors.Is(err, errClaimed) {
		t.Errorf("a second one got %v, %v", second, err)
	}
	if err == nil || strings.Contains(err.Error(), pg.Password) {
		t.Errorf("its error is %v", err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	third, err := Open(t.Context(), url, testKey, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatalf("after the first has ended: %v", err)
	}
	if err := third.Close(); err != nil {
		t.Error(err)
	}
}

func TestAClaimThatWasLostIsTakenAgainOrEndsTheServer(t *testing.T) {
	if pg == nil {
		return
	}
	s := open(t, filepath.Join(t.TempDir(), "db"))
	lose := func() {
		t.Helper()
		if _, err := s.write.ExecContext(t.Context(), "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"); err != nil {
			t.Fatal(err)
		}
	}
	lose()
	if err := s.claim.look(t.Context()); err != nil {
		t.Fatalf("with nobody else there: %v", err)
	}
	lose()
	other := &claim{config: s.claim.config, log: s.claim.log}
	if err := other.take(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.claim.look(t.Context()); !errors.Is(err, errClaimed) {
		t.Errorf("with another server there: %v", err)
	}
	if err := other.close(); err != nil {
		t.Error(err)
	}
}

func TestNobodyIsToldThePasswordOfADatabase(t *testing.T) {
	for _, url := range []string{
		"postgres://me:s3cret@127.0.0.1:1/daytona", "postgresql://me:s3cret@127.0.0.1:1/daytona?sslmode=nonsense", "postgres://me:s3cret@127.0.0.1:1/x?connect_timeout=s3cret",
		"postgres://me:s3cret@[::1/daytona", "postgres:///daytona?host=/nowhere&password=s3cret",
	} {
		s, err := Open(t.Context(), url, testKey, slog.New(slog.DiscardHandler))
		if err == nil {
			t.Fatalf("%s was opened: %v", url, s)
		}
		if strings.Contains(err.Error(), "s3cret") || strings.Contains(Name(url), "s3cret") {
			t.Errorf("%s: %v", Name(url), err)
		}
	}
}

// Writers that meet wait for each other or begin again; what they add up is right.
func TestWritesThatMeetLoseNothing(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "db"))
	snap := newSnapshot("org", "snap")
	if err := s.InsertSnapshot(t.Context(), snap, anySnapshots); err != nil {
		t.Fatal(err)
	}
	const boxes, writers, limit = 4, 8, 20
	var ids []string
	for i := range boxes {
		sb := newSandbox("org", strings.Repeat("x", i+1), snap)
		sb.Resources.CPU = 1
		if err := s.InsertSandbox(t.Context(), sb, anyUsage); err != nil {
			t.Fatal(err)
		}
		ids = append(ids, sb.ID)
	}
	full := errors.New("full")
	made := make(chan int, writers)
	for w := range writers {
		go func() {
			n := 0
			for i := range 20 {
				_, err := s.UpdateSandbox(t.Context(), ids[(w+i)%boxes], func(sb *sandbox.Sandbox) error {
					sb.Stops++
					if sb.State = sandbox.StateStarted; sb.Stops%2 == 0 {
						sb.State = sandbox.StateStopped
					}
					return nil
				})
				if err != nil {
					t.Error(err)
				}
				err = s.InsertSandbox(t.Context(), newSandbox("org", "new-"+string(rune('a'+w))+string(rune('a'+i)), snap), func(u sandbox.Usage) error {
					if u.Sandboxes >= limit {
						return full
					}
					return nil
				})
				if err == nil {
					n++
				} else if !errors.Is(err, full) {
					t.Error(err)
				}
			}
			made <- n
		}()
	}
	sum := 0
	for range writers {
		sum += <-made
	}
	if sum != limit-boxes {
		t.Errorf("%d were made, want %d", sum, limit-boxes)
	}
	stops := 0
	for _, id := range ids {
		sb, err := s.Sandbox(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		stops += sb.Stops
	}
	if stops != writers*20 {
		t.Errorf("%d changes are left of %d", stops, writers*20)
	}
	countsAreRight(t, s)
}

func TestAnOvertakenRowIsNotWritten(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "db"))
	snap := newSnapshot("org", "snap")
	if err := s.InsertSnapshot(t.Context(), snap, anySnapshots); err != nil {
		t.Fatal(err)
	}
	sb := newSandbox("org", "box", snap)
	if err := s.InsertSandbox(t.Context(), sb, anyUsage); err != nil {
		t.Fatal(err)
	}
	var old sandboxRow
	if err := s.read.NewSelect().Model(&old).Where("id = ?", sb.ID).Scan(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := s.UpdateSandbox(t.Context(), sb.ID, func(sb *sandbox.Sandbox) error { sb.Public = true; return nil }); err != nil {
		t.Fatal(err)
	}
	tries := 0
	err := s.inTx(t.Context(), func(ctx context.Context, tx bun.Tx) error {
		tries++
		late := old
		late.Stops = 7
		return update(ctx, tx, &old, &late)
	})
	if !errors.Is(err, errOvertaken) || tries != transactionTries {
		t.Errorf("after %d tries: %v", tries, err)
	}
	if got, err := s.Sandbox(t.Context(), sb.ID); err != nil || got.Stops != 0 || !got.Public {
		t.Errorf("got %+v, %v", got, err)
	}
	if err := s.DeleteSandbox(t.Context(), sb.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Sandbox(t.Context(), sb.ID); !fault.Is(err, fault.KindNotFound) {
		t.Errorf("deleted: %v", err)
	}
	countsAreRight(t, s)
}

// countsAreRight compares what the triggers have counted with what is there.
func countsAreRight(t *testing.T, s *Store) {
	t.Helper()
	for _, q := range []string{
		`SELECT COUNT(*) FROM (
		   SELECT organization_id, state, warm_pool_id <> '' AS warm, COUNT(*) AS n, SUM(cpu) AS c, SUM(memory) AS m, SUM(disk) AS d FROM sandboxes GROUP BY 1, 2, 3
		   EXCEPT SELECT organization_id, state, warm, sandboxes, cpu, memory, disk FROM sandbox_counts) AS wrong`,
		`SELECT COUNT(*) FROM sandbox_counts WHERE sandboxes < 0 OR sandboxes = 0 AND (cpu <> 0 OR memory <> 0 OR disk <> 0)`,
		`SELECT (SELECT COUNT(*) FROM sandboxes) - (SELECT COALESCE(SUM(sandboxes), 0) FROM sandbox_counts)`,
		`SELECT (SELECT COUNT(*) FROM snapshots) - (SELECT COALESCE(SUM(snapshots), 0) FROM snapshot_counts)`,
		`SELECT COUNT(*) FROM sandbox_labels WHERE sandbox_id NOT IN (SELECT id FROM sandboxes)`,
	} {
		var n int
		if err := s.read.QueryRowContext(t.Context(), q).Scan(&n); err != nil || n != 0 {
			t.Errorf("%d, %v: %s", n, err, q)
		}
	}
}
