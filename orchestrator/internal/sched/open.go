package sched

import (
	"context"

	"github.com/ctmatrix/ctmatrix/orchestrator/internal/remote"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/vm"
)

// Opened is a guest that is somebody's own, with the connection to its agent.
// Whoever gets one must Stop it.
type Opened struct {
	*qemuGuest
	Machine Machine
}

// Client speaks with the guest's agent.
func (o *Opened) Client() *remote.Client { return o.client }

// Stop ends the guest as Guest.Stop does, within the time that a cell's has.
func (o *Opened) Stop(ctx context.Context) error {
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTime)
	defer cancel()
	return o.qemuGuest.Stop(end)
}

// Open boots a guest, never a saved one, with more devices than others have, and
// waits until its agent can be spoken to. Where that fails, nothing of the guest
// is left. The image's clock must be the host's: a clock that jumps while the
// guest idles is none to sit in front of.
func (q *QEMU) Open(ctx context.Context, image Image, devices ...vm.Device) (*Opened, error) {
	m, err := q.Describe(ctx, image.Machine)
	if err != nil {
		return nil, err
	}
	g, err := q.boot(ctx, image, m, false, devices)
	if err != nil {
		return nil, err
	}
	o := &Opened{qemuGuest: g, Machine: m}
	if err := g.Ready(ctx); err != nil {
		// QEMU says why it ended soon after it has.
		settle, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleTime)
		defer cancel()
		if ctx.Err() == nil {
			if werr := g.Wait(settle); werr != nil && settle.Err() == nil {
				err = werr
			}
		}
		_ = o.Stop(ctx) // it did not come up
		return nil, err
	}
	return o, nil
}
