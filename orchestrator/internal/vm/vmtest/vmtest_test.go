package vmtest

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/ctmatrix/ctmatrix/orchestrator/internal/vm"
)

const limit = time.Minute // of every wait; one that takes so long hangs

func TestScript(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	var printed strings.Builder
	f := &Fake{Console: []string{"up", "ready"}, Output: &printed, Serve: func(c net.Conn) { _, _ = io.Copy(c, c) }}
	conn, err := f.Conn()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := f.Start(ctx); err != nil {
		t.Fatal(err)
	}
	if err := f.WaitLine(ctx, "ready", limit); err != nil {
		t.Error(err)
	}
	if _, err := io.WriteString(conn, "ping"); err != nil {
		t.Error(err)
	}
	answer := make([]byte, 4)
	if _, err := io.ReadFull(conn, answer); err != nil || string(answer) != "ping" {
		t.Errorf("answer %q, %v", answer, err)
	}
	f.Stop()
	f.Stop()
	if err := f.Wait(ctx); err != nil {
		t.Errorf("stopped: %v", err)
	}
	if printed.String() != "up\nready\n" || strings.Join(f.Tail(), " ") != "up ready" {
		t.Errorf("printed %q, kept %q", printed.String(), f.Tail())
	}
	if _, err := conn.Read(answer); !errors.Is(err, io.EOF) {
		t.Errorf("read from a guest that ended: %v", err)
	}
}

func TestFaults(t *testing.T) {
	crash := errors.New("exit status 1")
	for _, test := range []struct {
		name  string
		fake  *Fake
		guest bool
		is    error
	}{
		{"panics", &Fake{Console: []string{"Kernel panic - not syncing: x"}, Ends: true}, true, vm.ErrExited},
		{"QEMU fails", &Fake{Ends: true, EndErr: crash}, false, crash},
		{"powers off", &Fake{Console: []string{"up"}, Ends: true}, false, vm.ErrExited},
		{"says nothing", &Fake{}, false, vm.ErrSilent},
		{"hangs", &Fake{Console: []string{"up"}}, true, vm.ErrSilent},
	} {
		t.Run(test.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), limit)
			defer cancel()
			if err := test.fake.Start(ctx); err != nil {
				t.Fatal(err)
			}
			defer test.fake.Stop()
			err := test.fake.WaitLine(ctx, "ready", 10*time.Millisecond)
			var guest *vm.GuestError
			if errors.As(err, &guest) != test.guest || !errors.Is(err, test.is) {
				t.Errorf("%v; want the guest's fault %v, and %v", err, test.guest, test.is)
			}
		})
	}
}

func TestContextEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	f := &Fake{}
	if err := f.Start(ctx); err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := f.Wait(t.Context()); err != nil {
		t.Error(err)
	}
	f.Stop()
}
