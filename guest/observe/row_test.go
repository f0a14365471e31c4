package observe

import (
	"strings"
	"testing"
)

func TestRowNames(t *testing.T) {
	const may = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.+@="
	for c := range 256 {
		b := string([]byte{byte(c)})
		for _, name := range []string{b + "a/b/c.d", "a/b" + b + "b/c.d", "a/b/c.d" + b} {
			err := Row{Name: name, Kind: Text}.Check()
			if ok := strings.Contains(may, b); ok != (err == nil) {
				t.Errorf("%q: %v", name, err)
			}
		}
	}
	for _, name := range []string{"", "a", "a/b.c", "a/b/c", "a//c.d", "/b/c.d", "a/b/c.d/e", "a/b/", "//.", strings.Repeat("a", MaxName) + "/b/c.d"} {
		if err := (Row{Name: name, Kind: Text}).Check(); err == nil {
			t.Errorf("%q is a row's name", name)
		}
	}
	if err := (Row{Name: "a/b/.", Kind: Text}).Check(); err != nil {
		t.Error(err)
	}
}
