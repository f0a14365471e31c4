// Package vmtest has a stand-in for a guest that plays a script. It starts no
// process.
package vmtest

import (
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/ctmatrix/ctmatrix/orchestrator/internal/vm"
)

// Fake is a vm.Guest that plays a script. The exported fields are set before
// Start.
type Fake struct {
	Console []string  // lines printed as soon as it starts
	Ends    bool      // ends of itself after them
	EndErr  error     // how it ends of itself
	Output  io.Writer // takes what is printed; may be nil
	// Serve speaks with who has Conn, until that is closed; nil never answers.
	// remotetest has one that speaks SSH.
	Serve func(net.Conn)

	screen  *vm.Screen
	once    sync.Once
	theirs  net.Conn
	running sync.WaitGroup
	cancel  func() bool
}

var _ vm.Guest = (*Fake)(nil)

// Conn is the host's end of the guest's port. Only before Start, and once.
func (f *Fake) Conn() (net.Conn, error) {
	ours, file, err := vm.Pair("the fake guest")
	if err != nil {
		return nil, err
	}
	defer file.Close() // which theirs has a copy of
	if f.theirs, err = net.FileConn(file); err != nil {
		ours.Close()
		return nil, fmt.Errorf("use the socket of the fake guest: %w", err)
	}
	return ours, nil
}

// Start prints the console and serves SSH.
func (f *Fake) Start(ctx context.Context) error {
	f.screen = vm.NewScreen()
	if f.theirs != nil && f.Serve != nil {
		f.running.Go(func() { f.Serve(f.theirs) })
	}
	for _, line := range f.Console {
		f.Print(line)
	}
	if f.Ends {
		f.End(f.EndErr)
	}
	f.cancel = context.AfterFunc(ctx, func() { f.End(nil) })
	return nil
}

// Print prints a line.
func (f *Fake) Print(line string) {
	_, _ = f.screen.Write([]byte(line + "\n")) // never fails
	if f.Output != nil {
		_, _ = io.Copy(f.Output, strings.NewReader(line+"\n")) // a script has no use for the error
	}
}

// End ends the guest, as if of itself. Only the first time counts.
func (f *Fake) End(err error) {
	f.once.Do(func() {
		if f.theirs != nil {
			f.theirs.Close() // whoever serves it finds out
		}
		f.screen.End(err)
	})
}

// Stop ends the guest and waits for what it served.
func (f *Fake) Stop() {
	if f.screen == nil {
		return
	}
	f.cancel()
	f.End(nil)
	f.running.Wait()
}

// Wait is as a VM's.
func (f *Fake) Wait(ctx context.Context) error { return f.screen.Wait(ctx) }

// WaitLine is as a VM's.
func (f *Fake) WaitLine(ctx context.Context, text string, silence time.Duration) error {
	return f.screen.WaitLine(ctx, text, silence)
}

// Tail is as a VM's.
func (f *Fake) Tail() []string { return f.screen.Tail() }

// Death is as a VM's.
func (f *Fake) Death() string { return f.screen.Death() }

// Args is what no QEMU would take.
func (f *Fake) Args() []string { return []string{"fake"} }
