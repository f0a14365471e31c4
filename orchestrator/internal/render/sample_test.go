package render

import (
	"bufio"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/ctmatrix/ctmatrix/guest/observe"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/results"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/table"
)

// sample is a run made from rows of a real one (testdata/rows.txt), with edits.
type sample struct {
	t     *testing.T
	rows  []observe.Row
	cells []results.CellRows
}

func newSample(t *testing.T, versions ...string) *sample {
	t.Helper()
	f, err := os.Open("testdata/rows.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	s := &sample{t: t}
	for in := bufio.NewScanner(f); in.Scan(); {
		part := strings.SplitN(in.Text(), " ", 3)
		s.rows = append(s.rows, observe.Row{Name: part[0], Kind: observe.Kind(part[1]), Value: part[2]})
	}
	for _, v := range versions {
		s.cells = append(s.cells, results.CellRows{Cell: s.cell(v), Rows: slices.Clone(s.rows)})
	}
	return s
}

func (s *sample) cell(version string) results.Cell {
	label, _, _ := strings.Cut(version, "-")
	parts := strings.FieldsFunc(label, func(r rune) bool { return r == '.' || r == '~' })
	series := parts[0] + "." + parts[1]
	release := label + "+deb13-cloud-amd64"
	if series == "5.10" || series == "6.1" {
		release = series + ".0-46-cloud-amd64"
	}
	c := results.Cell{
		Kernel: results.Kernel{
			Ref: "debian:" + series, Label: label, Release: release, Version: version,
			Series: series, Flavour: "cloud", Arch: "amd64", Source: "debian", Verified: true,
		},
		Variant: "default", Outcome: results.CellOK,
	}
	count := map[string]int{}
	for _, r := range s.rows {
		count[r.Probe()]++
	}
	for _, name := range slices.Sorted(maps.Keys(count)) {
		c.Probes = append(c.Probes, results.Probe{Name: name, Outcome: observe.Recorded, Rows: count[name]})
	}
	return c
}

// set gives a row another value in some cells.
func (s *sample) set(name, value string, cells ...int) *sample {
	s.t.Helper()
	for _, c := range cells {
		at := slices.IndexFunc(s.cells[c].Rows, func(r observe.Row) bool { return r.Name == name })
		if at < 0 {
			s.t.Fatalf("no row %s", name)
		}
		s.cells[c].Rows[at].Value = value
	}
	return s
}

// both sets a row of a probe in the initial and in a child namespace.
func (s *sample) both(probe, attr, value string, cells ...int) *sample {
	s.t.Helper()
	return s.set(probe+"/"+attr, value, cells...).set(probe+"@child/"+attr, value, cells...)
}

// outcome ends a probe otherwise than recorded, and takes its rows.
func (s *sample) outcome(probe string, o observe.Outcome, reason string, cells ...int) *sample {
	for _, c := range cells {
		cell := &s.cells[c]
		for i := range cell.Probes {
			if cell.Probes[i].Name == probe {
				cell.Probes[i] = results.Probe{Name: probe, Outcome: o, Reason: reason}
			}
		}
		cell.Rows = slices.DeleteFunc(cell.Rows, func(r observe.Row) bool { return r.Probe() == probe })
	}
	return s
}

func (s *sample) table() *table.Table { return table.New(s.cells, heads) }

var heads = []observe.Head{
	{
		Name: "table-full/syn", Path: "peer → box → peer",
		Question: "What becomes of ten SYNs when the table has room for seven?",
		Sysctls:  []string{"net.netfilter.nf_conntrack_max=7"},
		Rules:    []string{"table ip ct { chain raw { type filter hook prerouting priority raw; counter } }"},
		Needs:    []string{"nf_conntrack", "nft_ct"},
		Source:   "net/netfilter/nf_conntrack_core.c, __nf_conntrack_alloc",
	},
	{Name: "limits/defaults", Path: "none", Question: "How large is the table by default, and may loose pickup happen?"},
	{
		Name: "send-errno/table-full", Path: "box → peer",
		Question: "Which error does a program get for a packet that it sends itself while the table is full, by kind of socket and by the way it sends?",
	},
}

// four is what the report is for: a few changes over four series.
func four(t *testing.T) *sample {
	s := newSample(t, "7.3.4-1", "5.10.262-1", "6.12.117-1", "6.1.192-2")
	const new, oldest, mid = 0, 1, 2
	s.set("limits/defaults/max.per-bucket", "4", oldest)
	s.both("table-full/syn", "syn.class", "10 new", mid, new)
	s.both("table-full/syn", "syn.entry", "10 tcp SYN_SENT unreplied", mid, new)
	s.both("table-full/syn", "syn.entries", "10", mid, new)
	s.both("table-full/syn", "table.drop", "0", mid, new)
	s.both("table-full/syn", "log.table-full", "0", new)
	s.set("send-errno/table-full/udp-sendto.errno", "ENOBUFS", mid, new)
	s.set("send-errno/table-full/udp-sendto.errno", "EPERM", oldest)
	s.set("loose/on/ack.class", "1 invalid, 2 new, 7 established, 3 related, 4 untracked, 1 new again", new)
	s.outcome("enable/flowtable", observe.Unsupported, "no module nf_flow_table", oldest)
	s.outcome("enable/flowtable@child", observe.Unsupported, "no module nf_flow_table", oldest)
	s.outcome("table-full/flood", observe.Broken, "left behind: 3 conntrack entries", mid)
	s.outcome("table-full/flood@child", observe.Broken, "left behind: 3 conntrack entries", mid)
	return s
}

// chances is a run on two CPUs, of one kernel twice.
func chances(t *testing.T) *sample {
	s := newSample(t, "5.10.262-1", "7.3.4-1", "7.3.4-1")
	for i, counted := range []string{"936 of 1000", "958 of 1000", "947 of 1000"} {
		s.cells[i].Repeat, s.cells[i].Guest.Clock, s.cells[i].Guest.CPUs = max(1, i), "host", 2
		s.cells[i].Rows = append(s.cells[i].Rows, observe.Row{Name: "table-full/syn/both.lost", Kind: observe.Chance, Value: counted})
	}
	for _, probe := range []string{"enable/flowtable", "enable/flowtable@child", "table-full/flood"} {
		s.outcome(probe, observe.Unsupported, "no module nf_flow_table, built without CONFIG_NF_FLOW_TABLE", 0, 1, 2)
	}
	return s.set("loose/on/ack.class", "7 new", 1, 2).outcome("table-full/syn", observe.Unsupported, "no module", 0)
}

// configured is four with what stands beside rows: options, of which one kernel's
// are not known, modules and defaults.
func configured(t *testing.T) *sample {
	s := four(t)
	const new, oldest, mid, before = 0, 1, 2, 3
	for i := range s.cells {
		c := &s.cells[i]
		c.Config = map[string]string{
			"CONFIG_NF_CONNTRACK": "m", "CONFIG_NF_CT_PROTO_DCCP": "y", "CONFIG_NF_FLOW_TABLE": "m", "CONFIG_HZ": "250", "CONFIG_NFT_COUNTER": "m",
		}
		c.Modules = []observe.Module{{Name: "nf_flow_table", State: observe.ModuleLoaded}, {Name: "nft_counter", State: observe.ModuleLoaded}}
		value := "2 0644"
		if i == oldest {
			value = "1 0644"
		}
		c.Rows = append(c.Rows, observe.Row{Name: "sysctl/inventory/events.default", Kind: observe.Text, Value: value})
		c.Probes = append(c.Probes, results.Probe{Name: "sysctl/inventory", Outcome: observe.Recorded, Rows: 1})
		for _, probe := range []string{"proto/dccp-life", "events/default"} {
			c.Rows = append(c.Rows, observe.Row{Name: probe + "/first.told", Kind: observe.Text, Value: value})
			c.Probes = append(c.Probes, results.Probe{Name: probe, Outcome: observe.Recorded, Rows: 1})
		}
	}
	s.set("proto/dccp-life/first.told", "a", before, mid).set("proto/dccp-life/first.told", "b", new).set("proto/dccp-life/first.told", "a", oldest)
	delete(s.cells[new].Config, "CONFIG_NF_CT_PROTO_DCCP")
	s.cells[new].Config["CONFIG_NFT_COUNTER"] = "n"
	delete(s.cells[oldest].Config, "CONFIG_NF_FLOW_TABLE")
	s.cells[oldest].Modules[0].State = observe.ModuleMissing
	s.outcome("enable/flowtable", observe.Unsupported, "nf_flow_table: no such module in 5.10, built without CONFIG_NF_FLOW_TABLE", oldest)
	s.cells[mid].Config = nil
	return s
}

// backport is a fix that went into 6.12.1 after 6.1.100, and was backported
// into both series: it shows where it went in, twice.
func backport(t *testing.T) *sample {
	s := newSample(t, "6.1.100-1", "6.1.192-2", "6.12.1-1", "6.12.117-1", "7.3~rc7-1~exp1", "7.3.4-1")
	s.both("table-full/syn", "syn.class", "10 new", 1, 3, 4, 5)
	s.both("table-full/syn", "table.drop", "0", 1, 3, 4, 5)
	return s
}

// failed is a run of which one kernel did not boot, one crashed half-way, and
// one probe lacks a row.
func failed(t *testing.T) *sample {
	s := newSample(t, "5.10.262-1", "6.1.192-2", "6.12.117-1", "7.3.4-1")
	c := &s.cells[2]
	c.Outcome, c.Reason = results.CellCrashed, "the kernel died in table-full/flood: Oops: general protection fault"
	c.Console = []string{
		"[   12.203000] Oops: general protection fault, probably for non-canonical address 0xdead000000000122: 0000 [#1] PREEMPT SMP",
		"[   12.203900] RIP: 0010:nf_ct_gc_expired+0x1c/0xa0 [nf_conntrack]",
		"[   12.205000] Kernel panic - not syncing: Fatal exception in interrupt",
	}
	for i, p := range c.Probes {
		switch {
		case p.Name == "table-full/flood":
			s.outcome(p.Name, observe.Crashed, "Oops: general protection fault", 2)
		case i > 20:
			s.outcome(p.Name, observe.Missing, "not reached", 2)
		}
	}
	c = &s.cells[3]
	c.Outcome, c.Reason, c.Probes, c.Rows = results.CellFailed, "boot: no answer from the guest within 1m0s", nil, nil
	s.cells[0].Rows = slices.DeleteFunc(s.cells[0].Rows, func(r observe.Row) bool {
		return r.Name == "table-full/syn/table.drop"
	})
	s.set("table-full/syn/syn.raw", "9", 0)
	return s
}

// many is a fact that is different on each of many kernels.
func many(t *testing.T) *sample {
	var versions []string
	for i := range 14 {
		versions = append(versions, fmt.Sprintf("6.%d.%d-1", i+1, 17*i))
	}
	s := newSample(t, versions...)
	for i := range versions {
		s.set("loose/on/ack.entry", fmt.Sprintf("%d tcp ESTABLISHED unreplied, %d tcp SYN_SENT", i+1, 14-i), i)
	}
	return s.set("loose/on/ack.raw", "11", 3, 7, 11)
}

// hostile is what a guest or a run directory from elsewhere may try.
func hostile(t *testing.T) *sample {
	s := newSample(t, "6.1.192-2", "6.12.117-1")
	s.set("loose/on/ack.entry", "\x1b[2J\x1b]0;owned\x07red\r\n\u202egnp.exe", 1)
	s.set("loose/on/ack.class", strings.Repeat("\u200b世界", 60), 1)
	s.set("loose/on/ack.raw", "", 1)
	s.set("loose/on/table.drop", "\xff\xfe\x9b31m", 1)
	s.outcome("table-full/flood", observe.Broken, "\x1b[8mhidden\nfake line", 0)
	c := &s.cells[1]
	c.Kernel.Release = "6.12\x1b[1m"
	c.Warnings = []string{"\tclock\x00"}
	c.Outcome, c.Reason, c.Console = results.CellCrashed, "\x1bc", []string{"\x1b[31mpanic\x1b[0m", "\x08\x08"}
	return s
}

// repetitions is two kernels that ran three times, and what differs on the same
// kernel: rows, a probe as a whole, and a run that crashed.
func repetitions(t *testing.T) *sample {
	const a, b, c = 0, 2, 4 // the first runs of 5.10, 6.1 and 6.12
	s := newSample(t, "5.10.262-1", "5.10.262-1", "6.1.192-2", "6.1.192-2", "6.12.117-1", "6.12.117-1")
	for i := range s.cells {
		s.cells[i].Repeat = 1 + i%2
	}
	s.set("limits/defaults/max.per-bucket", "4", a, a+1)
	s.both("table-full/syn", "syn.class", "9 new", b)
	s.set("loose/on/ack.entry", "1 tcp ESTABLISHED unreplied, 1 tcp SYN_SENT", a+1)
	s.set("loose/on/ack.entry", "none", c, c+1)
	s.set("loose/on/ack.raw", "9", b).set("loose/on/ack.raw", "8", c, c+1)
	s.outcome("table-full/flood", observe.Broken, "left behind: 3 conntrack entries", b+1)
	s.cells[c].Outcome, s.cells[c].Reason = results.CellCrashed, "the kernel died during loose/off: Oops"
	s.outcome("loose/off", observe.Crashed, "the kernel died during loose/off: Oops", c)
	s.outcome("loose/off@child", observe.Missing, "not reached", c)
	return s
}

// clocks is kernels under two variants that ran on different clocks.
func clocks(t *testing.T) *sample {
	s := newSample(t, "5.10.262-1", "6.1.192-2", "5.10.262-1", "6.1.192-2")
	s.set("limits/defaults/max.per-bucket", "4", 0, 2)
	for i := range s.cells {
		s.cells[i].Guest = results.Guest{QEMU: "7.2.22", Clock: "virtual", Agent: "agent"}
		if i > 1 {
			s.cells[i].Variant, s.cells[i].Guest.Clock = "smp", "host"
		}
	}
	return s
}

// trials is what stability is for.
func trials(s *sample) *table.Trial {
	var recs []table.Recording
	for i, c := range s.cells {
		c.Kernel.Digest = "digest of " + c.Kernel.Version
		c.Guest = results.Guest{QEMU: "7.2.22", Clock: "virtual", Agent: "0123456789ab"}
		recs = append(recs, table.Recording{Name: fmt.Sprintf("20261123T104500Z/%s_r%d", c.Kernel.Label, i), CellRows: c})
	}
	return table.Stability(recs)
}

// flicker25 is a kernel that ran 25 times, of which one row is now and then
// another and a probe broke once, and one that ran on two hosts, two clocks and
// with two agents.
func flicker25(t *testing.T) *table.Trial {
	var versions []string
	for range 25 {
		versions = append(versions, "6.1.192-2", "7.3.4-1")
	}
	s := newSample(t, versions...)
	s.both("table-full/syn", "syn.class", "9 new", 4, 14, 16)
	s.set("loose/on/ack.entry", "none", 8)
	s.outcome("table-full/flood", observe.Broken, "left behind: 3 conntrack entries", 48)
	s.cells[20].Outcome, s.cells[20].Reason, s.cells[20].Probes, s.cells[20].Rows = results.CellFailed, "boot: no answer from the guest within 1m0s", nil, nil
	trial := trials(s)
	var recs []table.Recording
	for _, b := range trial.Builds {
		recs = append(recs, b.Recordings...)
	}
	for i := range recs {
		if recs[i].Kernel.Label == "7.3.4" {
			g := &recs[i].Guest
			switch {
			case i%3 == 0:
				g.QEMU = "8.2.0"
			case i%5 == 0:
				g.Clock = "host"
			case i%7 == 0:
				g.Agent = "fedcba9876543210"
			}
		}
	}
	return table.Stability(recs)
}
