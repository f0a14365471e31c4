package sched

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/ctmatrix/ctmatrix/guest/observe"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/results"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/splat"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/vm"
)

// fall is how a guest ended, and what that means.
type fall struct {
	outcome results.CellOutcome // CellOK where it did all that it was asked
	reason  string
	// probe is what the probe came to that it ended in, if it did so in one:
	// observe.Crashed where the kernel did, observe.Broken where we did.
	probe observe.Outcome
	// fingerprint and console are what the kernel said of its end.
	fingerprint string
	console     []string
	// chance says that nothing hints at the probe: it may be asked once more.
	chance bool
	// final says that no other guest of the cell would fare better.
	final bool
	// silent says that the guest did not print anything.
	silent bool
}

// kernelFell is the fall of a kernel that said so itself.
func kernelFell(when string, s *splat.Splat) fall {
	return fall{
		outcome: results.CellCrashed, probe: observe.Crashed, reason: fmt.Sprintf("the kernel died %s: %s", when, observe.Escape(s.String())),
		fingerprint: s.Fingerprint(), console: excerpt(s),
	}
}

// excerpt is what is kept of a splat beside its probe: as much as a table shows.
func excerpt(s *splat.Splat) []string { return s.Excerpt(excerptLines) }

const excerptLines = 8

// rigFell is the fall of all else.
func rigFell(format string, args ...any) fall {
	return fall{outcome: results.CellFailed, probe: observe.Broken, reason: fmt.Sprintf(format, args...)}
}

// interrupted is the fall of a guest that the user has no time for.
func interrupted(when string) fall {
	return fall{outcome: results.CellMissing, reason: strings.TrimSpace("interrupted " + when)}
}

func fallOf(ctx context.Context, err error) fall {
	outcome, reason := failed(ctx, err)
	return fall{outcome: outcome, reason: reason, probe: observe.Broken}
}

// fell says why a guest that was to do something, when, ended or fell silent instead.
func fell(ctx context.Context, guest Guest, when string, err error) fall {
	// QEMU ends, and the console is whole, soon after a kernel that panicked.
	settle, cancel := guest.Within(context.WithoutCancel(ctx), settleTime)
	defer cancel()
	var end error
	var late *vm.LateError
	over := false
	// One that was late has had time enough.
	if ctx.Err() == nil && !errors.As(err, &late) {
		end = guest.Wait(settle) // how it ended is read from the console
		over = !errors.Is(end, context.DeadlineExceeded) && !errors.Is(end, context.Canceled)
	}
	splats := guest.Splats()
	if s := fatal(splats); s != nil && s.End == splat.Kernel {
		return kernelFell(when, s)
	}
	if ctx.Err() != nil {
		return interrupted(when)
	}
	if over {
		return ended(guest, when, err, end, splats)
	}
	var fault *vm.GuestError
	switch {
	case errors.Is(err, vm.ErrSilent) && !errors.As(err, &fault):
		f := rigFell("%s: %v", when, err)
		f.silent = true
		return f
	case errors.As(err, &late), errors.As(err, &fault), errors.Is(err, context.DeadlineExceeded):
		return hung(ctx, guest, when, err)
	}
	return rigFell("%s: %v", when, err)
}

// ended is the fall of a guest that is gone, and whose kernel did not say why.
func ended(guest Guest, when string, err, end error, splats []splat.Splat) fall {
	if i := slices.IndexFunc(splats, func(s splat.Splat) bool { return s.End == splat.Memory || s.End == splat.Starved }); i >= 0 {
		f := rigFell("the guest ran out of memory %s: %s", when, observe.Escape(splats[i].Line))
		f.console = excerpt(&splats[i])
		return f
	}
	var rig *vm.RigError
	var job *JobError
	switch {
	case errors.As(err, &job):
		return rigFell("the suite gave up %s: %s", when, job.Text)
	case errors.Is(end, vm.ErrInit), errors.Is(end, vm.ErrNoInitramfs):
		f := rigFell("%s: %v", when, end)
		if s := fatal(splats); s != nil {
			f.console = excerpt(s)
		}
		return f
	case errors.As(end, &rig):
		f := rigFell("QEMU ended %s: %v", when, rig)
		f.chance = true
		return f
	case guest.Reset():
		f := fall{outcome: results.CellCrashed, probe: observe.Crashed, reason: "the guest was reset " + when}
		if last := lastLine(guest.Tail()); last != "" {
			f.reason += `; its last line is "` + observe.Escape(last) + `"`
		}
		return f
	}
	if said := agentSaid(guest.Tail()); said != "" && !errors.Is(err, observe.ErrTruncated) {
		return rigFell("the agent ended %s: %s", when, observe.Bounded(said))
	}
	return rigFell("%s: %v", when, err)
}

// hung is the fall of a guest that took too long. It is interrupted, so that it says
// where it is.
func hung(ctx context.Context, guest Guest, when string, err error) fall {
	why := lateness(err)
	if ierr := guest.Interrupt(context.WithoutCancel(ctx)); ierr != nil {
		f := rigFell("QEMU hangs %s: %s; asked to interrupt the guest: %v", when, why, ierr)
		f.chance = true
		return f
	}
	settle, cancel := guest.Within(context.WithoutCancel(ctx), nmiTime)
	defer cancel()
	_ = guest.Wait(settle) // what it says is read from the console
	f := fall{outcome: results.CellCrashed, probe: observe.Crashed}
	s := fatal(guest.Splats())
	if s == nil {
		f.reason = fmt.Sprintf("the guest hung %s: %s, and it took no interrupt", when, why)
		return f
	}
	f.console = excerpt(s)
	switch s.Place() {
	case splat.InUser:
		f = rigFell("the agent did not come to an end %s: %s, and the kernel was not at work", when, why)
		f.console = excerpt(s)
	case splat.Idle:
		f.reason = fmt.Sprintf("the guest hung %s: %s, and it had nothing to do", when, why)
	case splat.InKernel:
		f.fingerprint = s.Fingerprint()
		f.reason = fmt.Sprintf("the guest hung %s: %s, in %s", when, why, observe.Escape(f.fingerprint))
	default:
		f.reason = fmt.Sprintf("the guest hung %s: %s", when, why)
	}
	return f
}

// lateness is what did not happen, and within which time.
func lateness(err error) string {
	var p *PhaseError
	var late *vm.LateError
	switch {
	case errors.As(err, &p):
		return p.Error()
	case errors.As(err, &late):
		return late.Error()
	}
	return err.Error()
}

// fatal is the first splat after which a kernel did not go on, or nil.
func fatal(splats []splat.Splat) *splat.Splat {
	i := slices.IndexFunc(splats, func(s splat.Splat) bool { return s.End.Fatal() })
	if i < 0 {
		return nil
	}
	return &splats[i]
}

func lastLine(tail []string) string {
	for _, l := range slices.Backward(tail) {
		if strings.TrimSpace(l) != "" {
			return splat.Bare(l)
		}
	}
	return ""
}

// agentSaid is what the agent last said of its end on the console: what init saw, and
// what the server or Go's runtime said before.
func agentSaid(tail []string) string {
	var said []string
	for _, l := range tail {
		text, ours := strings.CutPrefix(l, observe.AgentPrefix)
		switch {
		case ours && (l == observe.InitLine || l == observe.ReadyLine):
		case ours:
			said = append(said, strings.TrimPrefix(text, "init: "))
		case strings.HasPrefix(l, "panic: "), strings.HasPrefix(l, "fatal error: "):
			said = append(said, l)
		}
	}
	return strings.Join(said, "; ")
}
