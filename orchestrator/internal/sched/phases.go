package sched

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ctmatrix/ctmatrix/guest/observe"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/vm"
)

// PhaseError says which phase of a guest did not come to its end in time.
type PhaseError struct {
	What string // that did not happen: "no first output"
	On   string // the machine
	Err  error  // a *vm.LateError
}

func (e *PhaseError) Error() string {
	var late *vm.LateError
	if errors.As(e.Err, &late) {
		return fmt.Sprintf("%s on %s: %v", e.What, e.On, late)
	}
	return fmt.Sprintf("%s on %s: %v", e.What, e.On, e.Err)
}

// Unwrap returns why.
func (e *PhaseError) Unwrap() error { return e.Err }

// phase waits for what is to happen within a limit of the machine's own time.
func phase(ctx context.Context, v *vm.VM, what string, limit time.Duration, wait func(context.Context) error) error {
	within, cancel := v.Within(ctx, limit)
	defer cancel()
	err := wait(within)
	var late *vm.LateError
	if errors.As(context.Cause(within), &late) && err != nil && ctx.Err() == nil {
		return &PhaseError{What: what, On: v.Machine, Err: late}
	}
	return err
}

// come waits until a guest that was started has said that it is ready.
func come(ctx context.Context, v *vm.VM) error {
	if err := v.Up(ctx); err != nil {
		return err
	}
	line := func(text string) func(context.Context) error {
		return func(ctx context.Context) error { return v.WaitLine(ctx, text, never) }
	}
	err := phase(ctx, v, "no first output", firstTime, v.WaitOutput)
	var late *PhaseError
	if errors.As(err, &late) {
		return &vm.RigError{Err: fmt.Errorf("%w (%w)", late, vm.ErrSilent)}
	}
	if err == nil {
		err = phase(ctx, v, "the kernel did not start init", initTime, line(observe.InitLine))
	}
	if err == nil {
		err = phase(ctx, v, "the agent did not get ready", readyTime, line(observe.ReadyLine))
	}
	return err
}

// never is a silence that the phases do not let come.
const never = 24 * time.Hour

// leash ends what runs under a context when a guest takes too long for one phase.
type leash struct {
	guest  Guest
	cancel context.CancelCauseFunc
	loose  context.CancelFunc // nil before the first phase
}

// phase begins the next phase. Only one goroutine may call it, and loosen.
func (l *leash) phase(what string, limit time.Duration) {
	l.loosen()
	ctx, cancel := l.guest.Within(context.Background(), limit)
	stop := context.AfterFunc(ctx, func() {
		var late *vm.LateError
		if errors.As(context.Cause(ctx), &late) {
			l.cancel(fmt.Errorf("%s %w", what, late))
		}
	})
	l.loose = func() { stop(); cancel() }
}

func (l *leash) loosen() {
	if l.loose != nil {
		l.loose()
	}
	l.loose = nil
}
