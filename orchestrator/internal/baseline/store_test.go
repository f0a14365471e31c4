package baseline

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
)

// entries lists a directory.
func entries(t *testing.T, dir string) string {
	t.Helper()
	list, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, e := range list {
		out = append(out, e.Name())
	}
	return strings.Join(out, " ")
}

func TestWriteAndRead(t *testing.T) {
	root := t.TempDir()
	dir := filepath.Join(root, "deep", "baseline")
	if _, err := Read(dir); !errors.Is(err, fs.ErrNotExist) || Is(dir) {
		t.Errorf("what is not there: %v", err)
	}
	want := sample(t)
	if err := want.Write(dir); err != nil {
		t.Fatal(err)
	}
	got, err := Read(dir)
	if err != nil {
		t.Fatal(err)
	}
	if diff := gocmp.Diff(want, got); diff != "" || !Is(dir) {
		t.Errorf("(-want +got):\n%s", diff)
	}
	// Others' files stay, families that went are gone, and nothing is left beside.
	if err := os.WriteFile(filepath.Join(dir, "README.md"), []byte("why"), 0o600); err != nil {
		t.Fatal(err)
	}
	less := bless(t, &Baseline{}, Options{}, cell("6.1.192-2", "loose/on/x.y=1"))
	if err := less.Write(dir); err != nil {
		t.Fatal(err)
	}
	if got := entries(t, dir); got != "README.md kernels.jsonl loose.rows" {
		t.Errorf("the directory has %s", got)
	}
	if got := entries(t, filepath.Dir(dir)); got != "baseline" {
		t.Errorf("beside it is %s", got)
	}
}

// What is the same is not touched, so that nobody reads it again.
func TestWriteTheSame(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "baseline")
	for range 2 {
		if err := sample(t).Write(dir); err != nil {
			t.Fatal(err)
		}
	}
	before, err := os.Stat(filepath.Join(dir, KernelsFile))
	if err != nil {
		t.Fatal(err)
	}
	if err := sample(t).Write(dir); err != nil {
		t.Fatal(err)
	}
	after, err := os.Stat(filepath.Join(dir, KernelsFile))
	if err != nil || !os.SameFile(before, after) {
		t.Errorf("it was written again, %v", err)
	}
}

// A link to a directory goes on being one.
func TestWriteThroughLink(t *testing.T) {
	root := t.TempDir()
	link := filepath.Join(root, "link")
	if err := os.MkdirAll(filepath.Join(root, "real"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("real", link); err != nil {
		t.Fatal(err)
	}
	if err := sample(t).Write(link); err != nil {
		t.Fatal(err)
	}
	if target, err := os.Readlink(link); err != nil || target != "real" || !Is(filepath.Join(root, "real")) {
		t.Errorf("the link leads to %s, %v", target, err)
	}
}

// Where it cannot be written the old one stays as it was.
func TestWriteFails(t *testing.T) {
	root := t.TempDir()
	dir := filepath.Join(root, "baseline")
	if err := sample(t).Write(dir); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "sub"), 0o755); err != nil {
		t.Fatal(err)
	}
	was := entries(t, dir)
	less := bless(t, &Baseline{}, Options{}, cell("6.1.192-2", "loose/on/x.y=1"))
	if err := less.Write(dir); err == nil || !strings.Contains(err.Error(), "sub: a directory") {
		t.Errorf("a directory in it: %v", err)
	}
	if got := entries(t, dir); got != was {
		t.Errorf("the directory has %s, and had %s", got, was)
	}
	if got := entries(t, root); got != "baseline" {
		t.Errorf("beside it is %s", got)
	}
	bad := cell("6.1.192-2", "loose/on/x.y=1")
	bad.Probes[0].Name = "../x"
	if err := (&Baseline{Cells: append(less.Cells, bad)}).Write(dir); err == nil {
		t.Error("a probe that is none is written")
	}
}

// A file that is none, on which a reader would wait.
func TestReadOfNoFile(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "baseline")
	if err := sample(t).Write(dir); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/dev/zero", filepath.Join(dir, "zero.rows")); err != nil {
		t.Fatal(err)
	}
	var fault *Fault
	if _, err := Read(dir); !errors.As(err, &fault) || !strings.Contains(err.Error(), "zero.rows: is no regular file") {
		t.Errorf("%v", err)
	}
}
