package sched

import (
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ctmatrix/ctmatrix/guest/observe"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/packets"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/results"
)

// A run that captures has a file for each probe, the same rows as any other, and
// nothing to do with the cache.
func TestCapture(t *testing.T) {
	cache := results.NewCache(t.TempDir())
	plain, _ := again(t, cache, obeys)
	want := plain.run(t.Context(), t)

	r, _ := again(t, cache, obeys)
	r.Capture = true
	cells := r.run(t.Context(), t)
	if !cells[0].Booted() || len(cells[0].Cached) > 0 || !cells[0].Guest.Captured {
		t.Errorf("booted %v, cached %v, captured %v", cells[0].Booted(), cells[0].Cached, cells[0].Guest.Captured)
	}
	if diff := cmp.Diff(want[0].Rows, cells[0].Rows); diff != "" {
		t.Errorf("rows (-without +with capturing):\n%s", diff)
	}
	run, err := results.Open(r.Out.Dir())
	if err != nil {
		t.Fatal(err)
	}
	for _, probe := range probes {
		data, err := run.Packets(run.Cells[0], probe)
		if err != nil {
			t.Fatal(err)
		}
		c, err := packets.Decode(data)
		if err != nil {
			t.Fatal(err)
		}
		if c.Probe != probe || len(c.Events) != 2 || c.Events[1].Packet.Tracking != "new: none" {
			t.Errorf("%s: %+v", probe, c)
		}
	}

	// What capturing recorded is not kept: the next run has what the first kept.
	later, _ := again(t, cache, obeys)
	if cells := later.run(t.Context(), t); cells[0].Booted() || cells[0].Cached[0].Run != plain.Out.Dir() {
		t.Errorf("booted %v, cached %v", cells[0].Booted(), cells[0].Cached)
	}
}

// However many probes there are, what those of one guest say fits the channel.
func TestCaptureBatches(t *testing.T) {
	var names []string
	for i := range 200 {
		names = append(names, fmt.Sprintf("a/%d", i))
	}
	s := &Scheduler{Capture: true}
	batches := s.batches(names)
	if !slices.Equal(slices.Concat(batches...), names) {
		t.Errorf("batches of other probes: %q", batches)
	}
	for _, b := range batches {
		if size := len(b) * observe.MaxCapture; size > observe.ChannelSize*3/4 {
			t.Errorf("%d probes may say %d bytes", len(b), size)
		}
	}
	if len(batches) > 5 {
		t.Errorf("%d guests", len(batches))
	}
	s.FreshGuest = true
	if n := len(s.batches(names)); n != len(names) {
		t.Errorf("%d guests, each probe its own", n)
	}
	if n := len((&Scheduler{}).batches(names)); n != 1 {
		t.Errorf("%d guests without capturing", n)
	}
}
