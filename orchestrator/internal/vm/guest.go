package vm

import (
	"context"
	"time"
)

// Guest is what a VM is to who drives it. vmtest has one that plays a script.
type Guest interface {
	// Start starts the guest, which ends no later than ctx.
	Start(ctx context.Context) error
	// WaitLine waits until the console shows a line that contains text; see VM.
	WaitLine(ctx context.Context, text string, silence time.Duration) error
	// Wait waits until the guest has ended, or ctx has.
	Wait(ctx context.Context) error
	// Stop ends the guest and returns when it is gone.
	Stop()
	// Tail returns the last lines of the console.
	Tail() []string
	// Death returns the line with which the kernel announced its end, or "".
	Death() string
	// Args is the command line, without the program.
	Args() []string
}

var _ Guest = (*VM)(nil)
