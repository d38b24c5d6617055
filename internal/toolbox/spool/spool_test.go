package spool

import (
	"bytes"
	"io"
	"os"
	"strings"
	"testing"
)

func TestWhatIsAppendedComesBack(t *testing.T) {
	for _, size := range []int{0, 1, InMemory, InMemory + 1, 5 << 20} {
		var b Buffer
		want := bytes.Repeat([]byte("0123456789"), size/10+1)[:size]
		for rest := want; len(rest) > 0; {
			n := min(len(rest), 7777)
			b.Append(rest[:n])
			rest = rest[n:]
		}
		got, err := io.ReadAll(b.Seal())
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%d bytes came back as %d, error %v", size, len(got), err)
		}
		if b.memory.Len() > InMemory {
			t.Errorf("%d bytes are in memory", b.memory.Len())
		}
		b.Close()
	}
}

func TestNothingIsAddedAfterSeal(t *testing.T) {
	var b Buffer
	defer b.Close()
	b.Append([]byte("a"))
	r := b.Seal()
	b.Append([]byte("b"))
	if got, _ := io.ReadAll(r); string(got) != "a" {
		t.Errorf("%q", got)
	}
}

func TestLostOutputIsTold(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir()+"/missing")
	var b Buffer
	defer b.Close()
	b.Append(make([]byte, 100))
	b.Append(make([]byte, InMemory))
	got, _ := io.ReadAll(b.Seal())
	if !strings.Contains(string(got), "[262144 more bytes of output could not be kept: ") {
		t.Errorf("%q", got[100:])
	}
}

func TestFilesHaveNoName(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	var b Buffer
	defer b.Close()
	b.Append(make([]byte, InMemory+1))
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("%v %v", left, err)
	}
	if b.file == nil {
		t.Error("it did not use a file")
	}
}
