package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/gofrs/flock"
)

func TestUsage(t *testing.T) {
	s, err := Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	before, err := s.Usage()
	if err != nil || before.Bytes != 0 || before.Held != 0 || before.Free <= 0 {
		t.Fatalf("%+v, %v of an empty store", before, err)
	}
	if err := s.PutDoc("kind", "name", make([]byte, 100<<10)); err != nil {
		t.Fatal(err)
	}
	// Others keep theirs below it.
	for _, dir := range []string{"locks", "guests/locks"} {
		if err := os.MkdirAll(filepath.Join(s.Dir(), dir), 0o755); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"free", "held"} {
			if err := os.WriteFile(filepath.Join(s.Dir(), dir, name), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		lock := flock.New(filepath.Join(s.Dir(), dir, "held"))
		if ok, err := lock.TryLock(); !ok || err != nil {
			t.Fatalf("lock: %v, %v", ok, err)
		}
		defer lock.Close()
	}
	for range 2 { // asking holds nothing
		u, err := s.Usage()
		if err != nil || u.Bytes < 100<<10 || u.Bytes > 200<<10 || u.Held != 2 {
			t.Errorf("%+v, %v", u, err)
		}
	}
	gone, err := Open(filepath.Join(t.TempDir(), "none"))
	if err != nil {
		t.Fatal(err)
	}
	if u, err := gone.Usage(); err == nil {
		t.Errorf("%+v of no directory", u)
	}
}

// What is trimmed is room on the disk, of which holes take none.
func TestTrimCountsRoom(t *testing.T) {
	s, err := Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	const size = 64 << 20
	for i := range 3 {
		digest := fmt.Sprintf("%064x", i+1)
		if _, err := s.Fill(t.Context(), fmt.Sprint(i), func(_ context.Context, dir string) (Filled, error) {
			f, err := os.Create(filepath.Join(dir, "ram"))
			if err != nil {
				return Filled{}, err
			}
			_, err = f.WriteString("used")
			err = errors.Join(err, f.Truncate(size), f.Close())
			return Filled{Digest: digest, Files: []File{{Name: "ram", Size: size, SHA256: digest}}}, err
		}); err != nil {
			t.Fatal(err)
		}
	}
	kept := func(most int64) int {
		if err := s.Trim(most, time.Now().Add(time.Hour)); err != nil {
			t.Fatal(err)
		}
		all, err := s.List()
		if err != nil {
			t.Fatal(err)
		}
		return len(all)
	}
	if n := kept(size); n != 3 {
		t.Errorf("%d of three files kept that are nearly all holes", n)
	}
	if n := kept(1); n != 0 {
		t.Errorf("%d kept in a byte", n)
	}
}
