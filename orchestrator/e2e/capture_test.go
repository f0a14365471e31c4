package e2e

import (
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/ctmatrix/ctmatrix/guest/observe"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/packets"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/results"
)

// TestRealCapture holds capturing to what it is for: it changes no row, and keeps a
// conversation of every probe. The families are those that could mind: full tables,
// times, packets that wait in queues and for their other pieces, translation.
func TestRealCapture(t *testing.T) {
	real(t)
	var args []string
	for _, glob := range []string{"table-full", "loose", "queue", "fragments", "tcp-rst", "nat/masquerade*", "nat/ids*", "accounting"} {
		args = append(args, "--probe", glob)
	}
	plain, _ := run(t, args...)
	captured, _ := run(t, append(args, "--capture")...)
	for i, cell := range captured.Cells {
		sameRows(t, plain.Cells[i], cell)
		silent := 0
		for _, p := range cell.Probes {
			if p.Outcome != observe.Recorded {
				continue
			}
			if c := conversed(t, captured, cell, p.Name); c != nil && !slices.ContainsFunc(c.Events, isPacket) {
				silent++
			}
		}
		// Some ask of settings alone.
		if silent > len(cell.Probes)/20 {
			t.Errorf("%s: of %d probes of %d no packet was captured", cell.Kernel.Label, silent, len(cell.Probes))
		}
	}
	opens(t, captured, "table-full/syn", "queue/payload", "tcp-rst/in-window")
}

func sameRows(t *testing.T, plain, captured results.CellRows) {
	t.Helper()
	if len(plain.Rows) != len(captured.Rows) {
		t.Fatalf("%s: %d rows without and %d with capturing", plain.Kernel.Label, len(plain.Rows), len(captured.Rows))
	}
	for j, row := range captured.Rows {
		if row != plain.Rows[j] {
			t.Errorf("%s: %s is %s %q with capturing, %s %q without", plain.Kernel.Label, row.Name, row.Kind, row.Value, plain.Rows[j].Kind, plain.Rows[j].Value)
		}
	}
}

func isPacket(rec observe.Record) bool { return rec.Packet != nil }

// conversed holds the capture of a probe to have its rows, and of every packet that
// went in tracking's mind and what came out.
func conversed(t *testing.T, run *results.Run, cell results.CellRows, probe string) *packets.Capture {
	t.Helper()
	data, err := run.Packets(cell, probe)
	if err != nil {
		t.Errorf("%s: %v", cell.Kernel.Label, err)
		return nil
	}
	c, err := packets.Decode(data)
	if err != nil {
		t.Errorf("%s: %s: %v", cell.Kernel.Label, probe, err)
		return nil
	}
	in, minds, rows := 0, 0, 0
	for _, rec := range c.Events {
		switch {
		case rec.Step != nil && strings.HasPrefix(rec.Step.Text, "row "):
			rows++
		case rec.Packet != nil && rec.Packet.In:
			in++
			if rec.Packet.Tracking != "" && rec.Packet.Fate != "" {
				minds++
			}
		}
	}
	if minds != in || rows == 0 {
		t.Errorf("%s: %s: %d packets went in, tracking thought of %d, %d rows", cell.Kernel.Label, probe, in, minds, rows)
	}
	return c
}

// opens holds captures to what Wireshark reads in them.
func opens(t *testing.T, run *results.Run, probes ...string) {
	tshark, err := exec.LookPath("tshark")
	if err != nil {
		t.Fatalf("%v: `make checkers` installs it", err)
	}
	for _, probe := range probes {
		cell := run.Cells[0]
		c := conversed(t, run, cell, probe)
		if c == nil || !slices.ContainsFunc(c.Events, isPacket) {
			t.Errorf("no packet of %s was captured", probe)
			continue
		}
		cmd := exec.CommandContext(t.Context(), tshark, "-r", filepath.Join(run.Dir, cell.Dir, results.PacketsFile(probe)),
			"-T", "fields", "-E", "separator=|", "-e", "frame.interface_name", "-e", "frame.time_epoch", "-e", "frame.len", "-e", "frame.comment")
		out, err := cmd.Output()
		if err != nil {
			t.Errorf("tshark on %s: %v", probe, err)
			continue
		}
		lines := strings.Split(strings.TrimSuffix(string(out), "\n"), "\n")
		for _, rec := range c.Events {
			p := rec.Packet
			if p == nil {
				continue
			}
			if len(lines) == 0 {
				t.Errorf("tshark has too few packets of %s", probe)
				break
			}
			fields := strings.SplitN(lines[0], "|", 4)
			lines = lines[1:]
			if fields[0] != p.Link || fields[2] != strconv.Itoa(len(p.Data)) || !sameTime(fields[1], p.AtNS) || !strings.Contains(fields[3], p.Tracking) {
				t.Errorf("tshark has %q of %s, which went by %s at %d ns with %d bytes: %s", fields, probe, p.Link, p.AtNS, len(p.Data), p.Tracking)
			}
		}
		if len(lines) > 0 {
			t.Errorf("tshark has %d packets more of %s", len(lines), probe)
		}
	}
}

// sameTime compares a time as tshark writes it, in seconds or as a date, with
// nanoseconds since the epoch.
func sameTime(text string, at int64) bool {
	if when, err := time.Parse(time.RFC3339Nano, text); err == nil {
		return when.UnixNano() == at
	}
	whole, part, _ := strings.Cut(text, ".")
	seconds, err1 := strconv.ParseInt(whole, 10, 64)
	nanos, err2 := strconv.ParseInt(part, 10, 64)
	return err1 == nil && err2 == nil && len(part) == 9 && seconds*1e9+nanos == at
}
