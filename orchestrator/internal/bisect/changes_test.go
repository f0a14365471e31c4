package bisect

import (
	"slices"
	"testing"

	"github.com/ctmatrix/ctmatrix/guest/observe"
	"github.com/ctmatrix/ctmatrix/images/changelog"
)

func TestTopics(t *testing.T) {
	for _, tt := range []struct {
		row  string
		head observe.Head
		want []string
	}{
		{"limits/defaults/max.value", observe.Head{}, nil},
		{"timeouts/udplite-replied/flow.timeout", observe.Head{}, []string{"udplite"}},
		{"tcp-rst/exact/rst.entry", observe.Head{Needs: []string{"tun", "nf_tables"}}, []string{"tcp", "tun"}},
		{"a/b/c.d", observe.Head{Sysctls: []string{"net.ipv4.tcp_syncookies = 1"}}, []string{"ipv4", "syncookies", "tcp"}},
		{"a/b/c.d", observe.Head{Rules: []string{"raw-prerouting: meta l4proto icmp drop"}}, []string{"icmp"}},
		{"a/b/c.d", observe.Head{Path: "near link → bridge → input"}, []string{"bridge"}},
	} {
		if got := Topics(tt.row, tt.head); !slices.Equal(got, tt.want) {
			t.Errorf("Topics(%s, %v) = %q, want %q", tt.row, tt.head, got, tt.want)
		}
	}
}

func TestTouches(t *testing.T) {
	for _, tt := range []struct {
		text   string
		topics []string
		want   bool
	}{
		{"netfilter: nf_tables: fix a leak", nil, true},
		{"[arm64] Netfilter: fix a leak", nil, true},
		{"bpf: Guard conntrack opts error writes", nil, true},
		{"net/sched: act_ct: fix nf_connlabels leak", nil, true},
		{"ipvs: reject invalid states", nil, true},
		{"CVE fix for ip6_tables", nil, true},
		{"Revert \"netfilter: ipset: limit\"", nil, true},
		{"mm: fix a leak", nil, false},
		{"tcp: fix a leak", nil, false},
		{"tcp: fix a leak", []string{"tcp"}, true},
		{"Revert \"tcp: fix a leak\"", []string{"tcp"}, true},
		{"net/tcp: fix a leak", []string{"tcp"}, true},
		{"nvme-tcp: fix a leak", []string{"tcp"}, false},
		{"smc: drop TCP sockets", []string{"tcp"}, false}, // common: only as a subsystem
		{"udp: remove udplite support", []string{"udplite"}, true},
		{"udp: remove UDP-Lite", []string{"udplite"}, true},
		{"docs: fix https://netfilter.org", nil, false},
	} {
		if got := touches(changelog.Change{Text: tt.text}, tt.topics); got != tt.want {
			t.Errorf("%q about %q: %v, want %v", tt.text, tt.topics, got, tt.want)
		}
	}
	under := changelog.Change{Under: []string{"[x86] netfilter: Enable as modules:"}, Text: "CONFIG_X"}
	if !touches(under, nil) {
		t.Error("a change below a line about netfilter is not about it")
	}
	under.Under = []string{"New upstream stable update:", "https://www.kernel.org/netfilter/ChangeLog-6.1"}
	if touches(under, nil) {
		t.Error("an address makes a change be about netfilter")
	}
}

const text = `linux (6.12.94-1) trixie-security; urgency=high

  * New upstream stable update:
    https://www.kernel.org/pub/linux/kernel/v6.x/ChangeLog-6.12.93
    - mm: something
    - netfilter: first
    https://www.kernel.org/pub/linux/kernel/v6.x/ChangeLog-6.12.94
    - tcp: second

 -- Somebody <s@example.org>  Mon, 16 Nov 2026 11:17:40 +0100

linux (6.12.90-2) trixie-security; urgency=high

  * mm: third

 -- Somebody <s@example.org>  Mon, 09 Nov 2026 11:17:40 +0100

linux (6.12.90-1) trixie-security; urgency=high

  * netfilter: fourth
`

func TestChanges(t *testing.T) {
	x := Changes([]byte(text), "6.12.90-1", []string{"tcp"})
	if x.Versions != 2 || x.LeftOut != 2 || len(x.Entries) != 1 {
		t.Fatalf("%d versions, %d left out, entries %v", x.Versions, x.LeftOut, x.Entries)
	}
	var got []string
	for _, c := range x.Entries[0].Changes {
		got = append(got, c.Text)
	}
	if want := []string{"netfilter: first", "tcp: second"}; !slices.Equal(got, want) {
		t.Errorf("changes %q, want %q", got, want)
	}
	if x := Changes([]byte(text), "6.12.94-1~deb12u1", nil); x.Versions != 0 || len(x.Entries) != 0 || x.LeftOut != 0 {
		t.Errorf("a rebuild lacks %v", x)
	}
}
