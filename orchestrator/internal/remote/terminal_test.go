package remote_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/ctmatrix/ctmatrix/orchestrator/internal/remote"
)

// What a guest refuses is said, and the command does not run without it.
func TestRefused(t *testing.T) {
	keys := makeKeys(t)
	c, err := remote.Dial(t.Context(), guest(t, keys.Boot()), keys)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	var out bytes.Buffer
	for want, r := range map[string]remote.Request{
		"set NAME":           {Env: []remote.Variable{{Name: "NAME", Value: "x"}}},
		"ask for a terminal": {Terminal: &remote.Terminal{Name: "dumb"}},
	} {
		r.Argv, r.Stdout = []string{"echo", "ran"}, &out
		if err := c.Do(t.Context(), r); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want one that says %q", err, want)
		}
	}
	if out.Len() > 0 {
		t.Errorf("it ran: %q", &out)
	}
}
