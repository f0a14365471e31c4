package shell

import (
	"context"
	"errors"

	"golang.org/x/sys/unix"

	"github.com/ctmatrix/ctmatrix/orchestrator/internal/remote"
)

// Statuses beside those of commands, as shells have them.
const (
	signalled     = 128 // and the signal's number
	unknownSignal = 255
	interrupted   = signalled + int(unix.SIGINT)
)

// Status is what a process exits with whose command ended with err: the
// command's own status, 128 and the number of the signal that killed it, or 130
// where the user was the one to end it. It is false where err says nothing of
// how the command ended.
func Status(err error) (int, bool) {
	var exit *remote.ExitError
	switch {
	case err == nil:
		return 0, true
	case errors.Is(err, context.Canceled):
		return interrupted, true
	case !errors.As(err, &exit):
		return 0, false
	case exit.Signal == "":
		return exit.Status & 0xff, true
	}
	if n := unix.SignalNum("SIG" + exit.Signal); n != 0 {
		return signalled + int(n), true
	}
	return unknownSignal, true
}
