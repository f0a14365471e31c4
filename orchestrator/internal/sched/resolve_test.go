package sched

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/ctmatrix/ctmatrix/images/kernel"
)

// names resolves refs to versions.
type names map[string][]string

func (n names) Resolve(_ context.Context, ref string) ([]kernel.Candidate, error) {
	if n[ref] == nil {
		return nil, fmt.Errorf("%w %s", kernel.ErrUnknown, ref)
	}
	var found []kernel.Candidate
	for _, v := range n[ref] {
		found = append(found, kernel.Candidate{Ref: ref, Source: kernel.SchemeDebian, Version: v, Suite: "sid"})
	}
	return found, nil
}

func TestResolve(t *testing.T) {
	n := names{"new": {"2", "3"}, "old": {"1"}, "all": {"1", "2", "3"}}
	got, err := Resolve(t.Context(), n, []string{"new", "old", "all"})
	if err != nil {
		t.Fatal(err)
	}
	var versions string
	for _, c := range got {
		versions += c.Version + " by " + c.Ref + ", "
	}
	if want := "2 by new, 3 by new, 1 by old, "; versions != want {
		t.Errorf("got %s want %s", versions, want)
	}
	_, err = Resolve(t.Context(), n, []string{"a", "old", "b"})
	if want := "no such kernel a\nno such kernel b"; err == nil || err.Error() != want || !errors.Is(err, kernel.ErrUnknown) {
		t.Errorf("got %v, want %s", err, want)
	}
}

func TestFreeMemory(t *testing.T) {
	if mb, err := FreeMemoryMB(); err != nil || mb <= 0 {
		t.Errorf("got %d MB, %v", mb, err)
	}
}
