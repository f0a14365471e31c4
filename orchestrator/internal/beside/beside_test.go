package beside

import (
	"bufio"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ctmatrix/ctmatrix/guest/observe"
	"github.com/ctmatrix/ctmatrix/images/kconfig"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/results"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/table"
)

func text(ds []Difference) string {
	var out []string
	for _, d := range ds {
		out = append(out, d.String())
	}
	return strings.Join(out, ", ")
}

func TestOptions(t *testing.T) {
	from := map[string]string{"CONFIG_GONE": "y", "CONFIG_OFF": "m", "CONFIG_IN": "m", "CONFIG_HZ": "250", "CONFIG_SAME": "y", "CONFIG_UNSET": "n"}
	to := map[string]string{"CONFIG_OFF": "n", "CONFIG_IN": "y", "CONFIG_HZ": "1000", "CONFIG_SAME": "y", "CONFIG_NEW": "m", "CONFIG_ASKED": "n"}
	want := "CONFIG_GONE y → absent, CONFIG_HZ 250 → 1000, CONFIG_IN m → y, CONFIG_NEW absent → m, CONFIG_OFF m → n"
	if got := text(Options(from, to)); got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
}

// sides are two kernels: the second has no DCCP, no helper for SANE, and another
// default.
func sides() (from, to Side) {
	from = Side{
		Options:  map[string]string{"CONFIG_NF_CT_PROTO_DCCP": "y", "CONFIG_NF_CONNTRACK_SANE": "m", "CONFIG_HZ": "250", "CONFIG_NFT_COUNTER": "m"},
		Modules:  map[string]string{"nf_conntrack_sane": "there", "nft_counter": "there", "vrf": "there"},
		Defaults: map[string]string{"net.netfilter.nf_conntrack_events": "1", "net.netfilter.nf_conntrack_helper": "0", "net.netfilter.nf_conntrack_udp_timeout": "30"},
	}
	to = Side{
		Options:  map[string]string{"CONFIG_NF_CONNTRACK_SANE": "n", "CONFIG_HZ": "1000"},
		Modules:  map[string]string{"nf_conntrack_sane": Absent, "nft_counter": "there"},
		Defaults: map[string]string{"net.netfilter.nf_conntrack_events": "2", "net.netfilter.nf_conntrack_helper": Absent, "net.netfilter.nf_conntrack_udp_timeout": "60"},
	}
	return from, to
}

func TestOf(t *testing.T) {
	recorded := func(kind observe.Kind) table.Value { return table.Value{Status: table.Recorded, Kind: kind} }
	unsupported := func(reason string) table.Value { return table.Value{Status: table.Unsupported, Text: reason} }
	const dccp = "CONFIG_NF_CT_PROTO_DCCP y → absent"
	for name, c := range map[string]struct {
		row      string
		head     observe.Head
		from, to table.Value
		want     string
	}{
		"a protocol's name":  {"proto/dccp-life/request.entry", observe.Head{}, recorded(observe.Entry), recorded(observe.Entry), dccp},
		"in a setting":       {"sysctl/range/dccp_loose.taken", observe.Head{}, recorded(observe.Text), recorded(observe.Text), dccp},
		"not half a word":    {"proto/dccpx-life/request.entry", observe.Head{}, recorded(observe.Entry), recorded(observe.Entry), ""},
		"its number":         {"log/values/value-33.protocols", observe.Head{}, recorded(observe.Text), recorded(observe.Text), dccp},
		"nothing to do":      {"tcp-rst/in-window/rst.class", observe.Head{Needs: []string{"nft_counter"}}, recorded(observe.Class), recorded(observe.Class), ""},
		"ticks":              {"tcp-rst/in-window/rst.timeout", observe.Head{}, recorded(observe.Timeout), recorded(observe.Timeout), "CONFIG_HZ 250 → 1000"},
		"a module that went": {"helpers/sane", observe.Head{Needs: []string{"nf_conntrack_sane"}}, recorded(""), unsupported("nf_conntrack_sane: no such module in 7.3, built without CONFIG_NF_CONNTRACK_SANE"), "CONFIG_NF_CONNTRACK_SANE m → n, module nf_conntrack_sane there → absent"},
		"a setting that went": {"helpers/automatic", observe.Head{}, recorded(""), unsupported("no sysctl net.netfilter.nf_conntrack_helper"),
			"net.netfilter.nf_conntrack_helper 0 → absent"},
		"a reason that lies": {"helpers/sane", observe.Head{}, recorded(""), unsupported("CONFIG_X CONFIG_NFT net.netfilter \x1b[31m"), ""},
		"a default":          {"events/default@child/late.told", observe.Head{}, recorded(observe.Text), recorded(observe.Text), "net.netfilter.nf_conntrack_events 1 → 2"},
		"one that it sets": {"events/default/late.told", observe.Head{Sysctls: []string{"net.netfilter.nf_conntrack_events = 1"}}, recorded(observe.Text), recorded(observe.Text),
			""},
		"the default itself": {"sysctl/inventory@child/events.default", observe.Head{}, recorded(observe.Text), recorded(observe.Text), ""},
	} {
		from, to := sides()
		got := text(Compare(from, to).Of(SubjectOf(c.row, c.head, c.from, c.to)))
		if got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

// What is not known of a kernel is no difference.
func TestUnknown(t *testing.T) {
	from, to := sides()
	to.Options, to.Defaults = nil, nil
	if got, want := text(Compare(from, to).All), "module nf_conntrack_sane there → absent"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func TestSideOf(t *testing.T) {
	const probe = "sysctl/inventory"
	cell := results.Cell{
		Kernel: results.Kernel{Label: "6.1", Series: "6.1", Version: "6.1"}, Variant: "default", Outcome: results.CellOK,
		Config:  map[string]string{"CONFIG_HZ": "250"},
		Modules: []observe.Module{{Name: "a", State: observe.ModuleLoaded}, {Name: "b", State: observe.ModuleBuiltin}, {Name: "c", State: observe.ModuleMissing}, {Name: "d", State: observe.ModuleFailed}},
		Probes:  []results.Probe{{Name: probe, Outcome: observe.Recorded, Rows: 4}},
	}
	var rows []observe.Row
	for _, line := range []string{"beyond.names=none", "events.default=2 0644", "helper.default=none", "nf_flowtable_tcp_timeout.default=30 0644"} {
		name, value, _ := strings.Cut(line, "=")
		rows = append(rows, observe.Row{Name: probe + "/" + name, Kind: observe.Text, Value: value})
	}
	want := Side{
		Options:  map[string]string{"CONFIG_HZ": "250"},
		Modules:  map[string]string{"a": "there", "b": "there", "c": Absent, "d": "failed"},
		Defaults: map[string]string{"net.netfilter.nf_conntrack_events": "2", "net.netfilter.nf_conntrack_helper": Absent, "net.netfilter.nf_flowtable_tcp_timeout": "30"},
	}
	if d := cmp.Diff(want, SideOf(table.New([]results.CellRows{{Cell: cell, Rows: rows}}, nil), 0)); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
}

// Every line picks rows that there are, and names an option that is kept.
func TestLinks(t *testing.T) {
	f, err := os.Open("../../../guest/internal/suite/rows.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var rows []string
	for lines := bufio.NewScanner(f); lines.Scan(); {
		rows = append(rows, lines.Text())
	}
	if len(rows) < 1000 || len(links) < 20 {
		t.Fatalf("%d rows, %d links", len(rows), len(links))
	}
	seen := map[link]bool{}
	for _, l := range links {
		picked := 0
		for _, r := range rows {
			if l.picks(Subject{Row: r}) {
				picked++
			}
		}
		if picked == 0 && l.by != "kind" || picked > len(rows)/5 {
			t.Errorf("%v picks %d rows of %d", l, picked, len(rows))
		}
		if strings.HasPrefix(l.target, "CONFIG_") && !kconfig.Keeps(l.target) {
			t.Errorf("%v: runs do not keep the option", l)
		}
		if seen[l] {
			t.Errorf("%v is there twice", l)
		}
		seen[l] = true
	}
}

func TestBadLink(t *testing.T) {
	for _, bad := range []string{"row a/b CONFIG_A", "word dccp", "kind a b c"} {
		func() {
			defer func() {
				if r := recover(); r == nil || !strings.Contains(fmt.Sprint(r), "links.txt") {
					t.Errorf("%q: %v", bad, r)
				}
			}()
			mustParse("# fine\n" + bad + "\n")
		}()
	}
}

// Whatever a guest gives for a reason, only what differs is told.
func FuzzReasons(f *testing.F) {
	f.Add("no sysctl net.netfilter.nf_conntrack_helper", "helpers/automatic")
	f.Add("built without CONFIG_NF_CT_PROTO_DCCP", "a/b")
	f.Add("\x1b[31mCONFIG_", "")
	from, to := sides()
	c := Compare(from, to)
	f.Fuzz(func(t *testing.T, reason, row string) {
		for _, d := range c.Of(Subject{Row: row, Reasons: []string{reason}}) {
			if i, ok := c.byName[d.Name]; !ok || c.All[i] != d {
				t.Errorf("%v differs nowhere", d)
			}
		}
	})
}
