package store_test

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ctmatrix/ctmatrix/images/kernel/store"
)

func open(t *testing.T) *store.Store {
	t.Helper()
	s, err := store.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// write fills an entry with one file.
func write(content string) func(context.Context, string) (store.Filled, error) {
	return func(_ context.Context, dir string) (store.Filled, error) {
		sum := sha256.Sum256([]byte(content))
		name := hex.EncodeToString(sum[:])
		err := os.MkdirAll(filepath.Join(dir, "sub"), 0o755)
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, "sub", "file"), []byte(content), 0o644)
		}
		return store.Filled{
			Digest: name, Meta: map[string]string{"content": content},
			Files: []store.File{{Name: "sub/file", Size: int64(len(content)), SHA256: name}},
		}, err
	}
}

func fill(t *testing.T, s *store.Store, key, content string) *store.Entry {
	t.Helper()
	e, err := s.Fill(t.Context(), key, write(content))
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func never(context.Context, string) (store.Filled, error) {
	return store.Filled{}, errors.New("filled although it was there")
}

func TestFill(t *testing.T) {
	s := open(t)
	if s.Get("key") != nil {
		t.Error("an empty store has an entry")
	}
	e := fill(t, s, "key", "content")
	if data, err := os.ReadFile(filepath.Join(e.Dir, "sub/file")); err != nil || string(data) != "content" {
		t.Errorf("file %q, %v", data, err)
	}
	if e.Size() != 7 || string(e.Meta) != `{"content":"content"}` {
		t.Errorf("entry %+v", e)
	}
	again, err := s.Fill(t.Context(), "key", never)
	if err != nil || again.Dir != e.Dir {
		t.Errorf("again: %v, %v", again, err)
	}
	// Another key for the same content is the same entry.
	if other := fill(t, s, "other", "content"); other.Dir != e.Dir {
		t.Errorf("the same content lies in %s and %s", e.Dir, other.Dir)
	}
	if list, err := s.List(); err != nil || len(list) != 1 || list[0].Digest != e.Digest {
		t.Errorf("list %v, %v", list, err)
	}
	empty(t, s, "tmp")
}

func empty(t *testing.T, s *store.Store, dir string) {
	t.Helper()
	if left, err := os.ReadDir(filepath.Join(s.Dir(), dir)); err != nil || len(left) > 0 {
		t.Errorf("%s holds %v, %v", dir, left, err)
	}
}

func TestFillError(t *testing.T) {
	s := open(t)
	mine := errors.New("mine")
	_, err := s.Fill(t.Context(), "key", func(_ context.Context, dir string) (store.Filled, error) {
		if err := os.WriteFile(filepath.Join(filepath.Dir(dir), "scratch"), nil, 0o644); err != nil {
			t.Error(err)
		}
		return store.Filled{}, mine
	})
	if !errors.Is(err, mine) {
		t.Errorf("got %v", err)
	}
	empty(t, s, "tmp")
	empty(t, s, "kernels")
	fill(t, s, "key", "content")
}

// An entry that lost a byte is filled again; one whose bytes changed is found
// by Verify.
func TestDamaged(t *testing.T) {
	s := open(t)
	e := fill(t, s, "key", "content")
	file := filepath.Join(e.Dir, "sub/file")
	if err := s.Verify(t.Context(), e.Digest); err != nil {
		t.Error(err)
	}
	if err := os.WriteFile(file, []byte("CONTENT"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := s.Verify(t.Context(), e.Digest); !errors.Is(err, store.ErrDamaged) {
		t.Errorf("verify after a change: %v", err)
	}
	for _, damage := range []func() error{
		func() error { return os.Truncate(file, 3) },
		func() error { return os.Remove(file) },
		func() error { return os.WriteFile(filepath.Join(e.Dir, "manifest.json"), []byte("{"), 0o644) },
		func() error { return os.Remove(filepath.Join(e.Dir, "manifest.json")) },
	} {
		if err := damage(); err != nil {
			t.Fatal(err)
		}
		if s.Get("key") != nil {
			t.Error("a damaged entry was returned")
		}
		fill(t, s, "key", "content")
		if err := s.Verify(t.Context(), e.Digest); err != nil {
			t.Error(err)
		}
	}
	empty(t, s, "tmp")
}

func TestGC(t *testing.T) {
	s := open(t)
	old := fill(t, s, "old", "old content")
	used := fill(t, s, "used", "used content")
	hour := time.Now().Add(-time.Hour)
	for _, e := range []*store.Entry{old, used} {
		if err := os.Chtimes(filepath.Join(e.Dir, "manifest.json"), hour, hour); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.PutDoc("packages", "x", []byte("doc")); err != nil {
		t.Fatal(err)
	}
	s.Get("used") // which counts as use
	removed, freed, err := s.GC(t.Context(), time.Now().Add(-time.Minute))
	if err != nil || len(removed) != 1 || removed[0] != old.Digest || freed != int64(len("old content")) {
		t.Errorf("removed %v, %d bytes, %v", removed, freed, err)
	}
	if s.Get("old") != nil || s.Get("used") == nil || s.Doc("packages", "x") == nil {
		t.Error("the wrong things were removed")
	}
	if _, err := os.Stat(filepath.Join(s.Dir(), "keys", "old")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the key is left: %v", err)
	}
	if removed, _, err = s.GC(t.Context(), time.Now().Add(time.Minute)); err != nil || len(removed) != 1 {
		t.Errorf("removed %v, %v", removed, err)
	}
	if s.Doc("packages", "x") != nil {
		t.Error("an old document is left")
	}
	empty(t, s, "kernels")
	empty(t, s, "tmp")
}

func TestGCEmpty(t *testing.T) {
	s, err := store.Open(filepath.Join(t.TempDir(), "never", "made"))
	if err != nil {
		t.Fatal(err)
	}
	if removed, _, err := s.GC(t.Context(), time.Now()); err != nil || removed != nil {
		t.Errorf("removed %v, %v", removed, err)
	}
}

func TestDoc(t *testing.T) {
	s := open(t)
	if s.Doc("kind", "name") != nil {
		t.Error("an empty store has a document")
	}
	for _, text := range []string{"one", "two"} {
		if err := s.PutDoc("kind", "name", []byte(text)); err != nil {
			t.Fatal(err)
		}
		if got := s.Doc("kind", "name"); string(got) != text {
			t.Errorf("document %q, want %q", got, text)
		}
	}
	empty(t, s, "tmp")
}

func TestNames(t *testing.T) {
	s := open(t)
	for _, bad := range []string{"", "..", "../x", "a/b", ".hidden", "a\x00b", strings.Repeat("x", 200)} {
		if _, err := s.Fill(t.Context(), bad, never); err == nil {
			t.Errorf("key %q was taken", bad)
		}
		if err := s.PutDoc("kind", bad, nil); err == nil {
			t.Errorf("document %q was taken", bad)
		}
		_, err := s.Fill(t.Context(), "key", func(context.Context, string) (store.Filled, error) {
			return store.Filled{Digest: bad}, nil
		})
		if err == nil {
			t.Errorf("digest %q was taken", bad)
		}
	}
}

func TestUnwritable(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	s, err := store.Open(filepath.Join(file, "cache"))
	if err != nil {
		t.Fatal(err)
	}
	want := "cannot write to the cache " + s.Dir() + ": not a directory; set CTMATRIX_CACHE to a directory that can be written"
	if _, err := s.Fill(t.Context(), "key", never); err == nil || err.Error() != want {
		t.Errorf("fill: %v\nwant %s", err, want)
	}
	if err := s.PutDoc("kind", "name", nil); err == nil || err.Error() != want {
		t.Errorf("document: %v\nwant %s", err, want)
	}
}

func TestDefaultDir(t *testing.T) {
	t.Setenv(store.EnvDir, "/somewhere/else")
	if dir, err := store.DefaultDir(); err != nil || dir != "/somewhere/else" {
		t.Errorf("%s, %v", dir, err)
	}
	t.Setenv(store.EnvDir, "")
	t.Setenv("XDG_CACHE_HOME", "/cache")
	if dir, err := store.DefaultDir(); err != nil || dir != "/cache/ctmatrix" {
		t.Errorf("%s, %v", dir, err)
	}
	t.Setenv("XDG_CACHE_HOME", "")
	t.Setenv("HOME", "")
	if _, err := store.DefaultDir(); err == nil || !strings.Contains(err.Error(), store.EnvDir) {
		t.Errorf("without a home: %v", err)
	}
}

// Goroutines that fill one key at once fill it once.
func TestFillTogether(t *testing.T) {
	s := open(t)
	var n int // guarded by the store's lock
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			_, err := s.Fill(t.Context(), "key", func(ctx context.Context, dir string) (store.Filled, error) {
				n++
				return write("content")(ctx, dir)
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n != 1 {
		t.Errorf("filled %d times", n)
	}
}

// Different keys for the same content may be filled at once, too.
func TestSameContentTogether(t *testing.T) {
	s := open(t)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			if _, err := s.Fill(t.Context(), fmt.Sprint("key", i), write("content")); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if list, err := s.List(); err != nil || len(list) != 1 {
		t.Errorf("list %v, %v", list, err)
	}
	empty(t, s, "tmp")
}

func TestWaitIsCancelled(t *testing.T) {
	s := open(t)
	inside, leave := make(chan struct{}), make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		_, err := s.Fill(t.Context(), "key", func(ctx context.Context, dir string) (store.Filled, error) {
			close(inside)
			<-leave
			return write("content")(ctx, dir)
		})
		if err != nil {
			t.Error(err)
		}
	})
	<-inside
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Fill(ctx, "key", never); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	close(leave)
	wg.Wait()
}

// What a process that was killed had half made goes when the next entry is made;
// what another is making stays.
func TestKilled(t *testing.T) {
	s := open(t)
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestTwoProcesses$")
	cmd.Env = append(os.Environ(), childDir+"="+s.Dir())
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if lines := bufio.NewScanner(out); !lines.Scan() || lines.Text() != "filling" {
		t.Fatalf("the child says %q", lines.Text())
	}
	work := func() int {
		t.Helper()
		dirs, err := filepath.Glob(filepath.Join(s.Dir(), "tmp", "making-*"))
		if err != nil {
			t.Fatal(err)
		}
		return len(dirs)
	}
	fill(t, s, "lives", "a")
	if n := work(); n != 1 {
		t.Fatalf("%d directories of a process that lives", n)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // was killed
	fill(t, s, "dead", "b")
	if n := work(); n != 0 {
		t.Errorf("%d directories of a process that is dead", n)
	}
	// Its key can be filled: a lock dies with its holder.
	fill(t, s, "key", "content")
}

const childDir = "CTMATRIX_STORE_TEST_DIR"

// TestTwoProcesses lets another process fill a key while this one wants it.
func TestTwoProcesses(t *testing.T) {
	if dir := os.Getenv(childDir); dir != "" {
		child(t, dir)
		return
	}
	s := open(t)
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestTwoProcesses$")
	cmd.Env = append(os.Environ(), childDir+"="+s.Dir())
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	if !lines.Scan() || lines.Text() != "filling" {
		t.Fatalf("the child says %q", lines.Text())
	}
	result := make(chan error, 1)
	go func() {
		_, err := s.Fill(t.Context(), "key", never)
		result <- err
	}()
	if err := in.Close(); err != nil { // which lets the child go on
		t.Error(err)
	}
	if err := <-result; err != nil {
		t.Error(err)
	}
	for lines.Scan() { // to the end, as Wait wants
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("the child: %v", err)
	}
}

// child fills the key once its standard input ends.
func child(t *testing.T, dir string) {
	s, err := store.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.Fill(t.Context(), "key", func(ctx context.Context, dir string) (store.Filled, error) {
		fmt.Println("filling")
		for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		}
		return write("content")(ctx, dir)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// To peek is not to use, and finds what Get finds.
func TestPeek(t *testing.T) {
	s := open(t)
	if e := s.Peek("key"); e != nil {
		t.Errorf("Peek of nothing = %+v", e)
	}
	e, err := s.Fill(t.Context(), "key", write("content"))
	if err != nil {
		t.Fatal(err)
	}
	past := time.Now().Add(-time.Hour).Truncate(time.Second)
	if err := os.Chtimes(filepath.Join(e.Dir, "manifest.json"), past, past); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if got := s.Peek("key"); got == nil || got.Digest != e.Digest || !got.Used.Equal(past) {
			t.Errorf("Peek = %+v, want %+v, used %v", got, e, past)
		}
	}
	if got, err := s.Lookup(e.Digest); err != nil || got.Digest != e.Digest {
		t.Errorf("Lookup = %+v, %v", got, err)
	}
	if _, err := s.Lookup("../kernels"); !errors.Is(err, store.ErrDamaged) {
		t.Errorf("Lookup of a path: %v", err)
	}
}
