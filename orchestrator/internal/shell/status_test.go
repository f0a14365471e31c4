package shell

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/ctmatrix/ctmatrix/orchestrator/internal/remote"
)

func TestStatus(t *testing.T) {
	for _, c := range []struct {
		err   error
		want  int
		known bool
	}{
		{nil, 0, true},
		{&remote.ExitError{Status: 7}, 7, true},
		{fmt.Errorf("run x: %w", &remote.ExitError{Status: 127}), 127, true},
		{&remote.ExitError{Status: 256 + 3}, 3, true}, // what a hostile guest may say
		{&remote.ExitError{Signal: "TERM"}, 143, true},
		{&remote.ExitError{Signal: "KILL"}, 137, true},
		{&remote.ExitError{Signal: "NONSENSE"}, 255, true},
		{fmt.Errorf("boot: %w", context.Canceled), 130, true},
		{remote.ErrLost, 0, false},
		{errors.New("anything else"), 0, false},
	} {
		if got, known := Status(c.err); got != c.want || known != c.known {
			t.Errorf("%v: %d, %v; want %d, %v", c.err, got, known, c.want, c.known)
		}
	}
}
