package cli

import (
	"os"
	"path/filepath"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/ctmatrix/ctmatrix/guest/observe"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/packets"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/results"
)

// makePackets writes a capture of a probe into a cell of a run that is there, with
// one packet of which tracking thought something: make-packets CELL-DIR PROBE
// TRACKING.
func makePackets(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: make-packets CELL-DIR PROBE TRACKING")
	}
	syn := []byte{
		0x45, 0, 0, 40, 0, 0, 0x40, 0, 64, 6, 0xac, 0x4b, 198, 18, 0, 2, 192, 0, 2, 1,
		0x27, 0x10, 0, 80, 0, 0, 0, 1, 0, 0, 0, 0, 0x50, 2, 0xff, 0xff, 0, 0, 0, 0,
	}
	data, err := packets.Encode(&packets.Capture{Probe: args[1], Kernel: "by hand", Events: []observe.Record{
		{Step: &observe.Step{AtNS: 1e9, Text: "set net.netfilter.nf_conntrack_max = 7"}},
		{Packet: &observe.Packet{AtNS: 1_500_000_000, Link: "near", Medium: observe.IP, In: true, Data: syn, Tracking: args[2], Fate: "nothing came out"}},
	}})
	ts.Check(err)
	path := filepath.Join(ts.MkAbs(args[0]), results.PacketsFile(args[1]))
	ts.Check(os.MkdirAll(filepath.Dir(path), 0o777))
	ts.Check(os.WriteFile(path, data, 0o644))
}
