package shell

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestParseMount(t *testing.T) {
	t.Chdir(t.TempDir())
	for text, want := range map[string]Mount{
		"rules":            {Host: "rules", Guest: "/mnt/rules"},
		"a/rules/":         {Host: "a/rules/", Guest: "/mnt/rules"},
		"rules:rw":         {Host: "rules", Guest: "/mnt/rules", Back: true},
		"rules:/root/r":    {Host: "rules", Guest: "/root/r"},
		"/r:/root/r/..:rw": {Host: "/r", Guest: "/root", Back: true},
	} {
		if got, err := ParseMount(text); err != nil || got != want {
			t.Errorf("%q: %+v, %v; want %+v", text, got, err, want)
		}
	}
	for _, text := range []string{"", ":rw", ":/a", "a:b", "a:/", "a:/proc", "a:/sys/x", "a:/dev/../dev", "a:/b:ro", "a:/b:c:rw", "a:/x\x00"} {
		if got, err := ParseMount(text); err == nil {
			t.Errorf("%q: %+v", text, got)
		}
	}
}

func TestParseGet(t *testing.T) {
	if got, err := ParseGet("/root//a.pcap:out/a.pcap"); err != nil || got != (Get{"/root/a.pcap", "out/a.pcap"}) {
		t.Errorf("%+v, %v", got, err)
	}
	for _, text := range []string{"", "/a", "/a:", ":b", "a:b", "/:b", "/proc/config.gz:b"} {
		if got, err := ParseGet(text); err == nil {
			t.Errorf("%q: %+v", text, got)
		}
	}
}

func TestPlaces(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "there"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for host, want := range map[string][2]string{
		dir:                         {dir, "a.pcap"},
		filepath.Join(dir, "b"):     {dir + "/", "b"},
		filepath.Join(dir, "c", ""): {dir + "/", "c"},
	} {
		if d, n, err := (Get{"/root/a.pcap", host}).place(); err != nil || d != want[0] || n != want[1] {
			t.Errorf("%s: %s, %s, %v; want %q", host, d, n, err, want)
		}
	}
	if err := (Get{"/root/x", filepath.Join(dir, "there")}).Check(); !errors.Is(err, fs.ErrExist) {
		t.Errorf("over a file: %v", err)
	}
	if err := (Get{"/root/there", dir}).Check(); !errors.Is(err, fs.ErrExist) {
		t.Errorf("over a file in a directory: %v", err)
	}
	if err := (Get{"/root/x", filepath.Join(dir, "no", "x")}).Check(); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("below nothing: %v", err)
	}
	if err := (Mount{Host: filepath.Join(dir, "there")}).Check(); err == nil {
		t.Error("a file was mounted")
	}
}

func FuzzParseMount(f *testing.F) {
	for _, s := range []string{"a:/b:rw", "::", "a:/../..", "rw:rw"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if m, err := ParseMount(text); err == nil && (m.Host == "" || !strings.HasPrefix(m.Guest, "/") || strings.Contains(m.Guest+"/", "/../") || m.Guest == "/") {
			t.Fatalf("%q: %+v", text, m)
		}
		if g, err := ParseGet(text); err == nil && (g.Host == "" || !strings.HasPrefix(g.Guest, "/") || strings.Contains(g.Guest+"/", "/../") || g.Guest == "/") {
			t.Fatalf("%q: %+v", text, g)
		}
	})
}
