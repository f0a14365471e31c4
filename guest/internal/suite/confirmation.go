package suite

import (
	"net/netip"
	"slices"

	"github.com/ctmatrix/ctmatrix/guest/internal/ct"
	"github.com/ctmatrix/ctmatrix/guest/internal/lab"
	"github.com/ctmatrix/ctmatrix/guest/internal/probe"
	"github.com/ctmatrix/ctmatrix/guest/internal/wire"
)

const confirmSource = tales + "; nf_confirm in nf_conntrack_proto.c is the last hook of input and postrouting: what is dropped before is never confirmed"

// No seed of the boot reaches these rows: a single flow is in the table, or two.
// Events are put into the socket's queue in the packet's own path, and so come in
// its order; their ids, which are hashed with a seed, are not recorded. A reset
// ends an entry at once, without the collector, whose phase is luck.

// dying lists the places at which a SYN can die on its way, and the rule that
// kills it there. Forwarded ones go to a server behind the far link.
var dying = []struct {
	name, question string
	path           lab.Path
	rule           lab.Rule
	needs          []string
}{
	{"drop-raw", "dropped in raw prerouting", lab.Input, lab.On(lab.RawPrerouting, lab.Proto("tcp"), lab.Drop), nil},
	{"drop-mangle", "dropped in mangle prerouting", lab.Input, lab.On(lab.ManglePrerouting, lab.Proto("tcp"), lab.Drop), nil},
	{"drop-mangle-input", "dropped in mangle input", lab.Input, lab.On(lab.MangleInput, lab.Proto("tcp"), lab.Drop), nil},
	{"drop-filter-input", "dropped in filter input", lab.Input, lab.On(lab.FilterInput, lab.Proto("tcp"), lab.Drop), nil},
	{"drop-forward", "dropped in filter forward", lab.Forward, lab.On(lab.FilterForward, lab.Proto("tcp"), lab.Drop), nil},
	{"drop-postrouting", "dropped in mangle postrouting", lab.Forward, lab.On(lab.Postrouting, lab.Proto("tcp"), lab.Drop), nil},
	{"reject-input", "rejected with a reset in filter input", lab.Input, lab.On(lab.FilterInput, lab.Proto("tcp"), lab.RejectReset), []string{"nft_reject", "nft_reject_inet"}},
	{"reject-forward", "rejected with a reset in filter forward", lab.Forward, lab.On(lab.FilterForward, lab.Proto("tcp"), lab.RejectReset), []string{"nft_reject", "nft_reject_inet"}},
	{"closed-port", "delivered to a closed port", lab.Input, lab.On(lab.FilterInput), nil},
	{"forwarded", "forwarded", lab.Forward, lab.On(lab.FilterForward), nil},
}

var confirmation = confirmations()

func confirmations() []probe.Probe {
	var probes []probe.Probe
	for _, d := range dying {
		to := web
		if d.path == lab.Forward {
			to = netip.AddrPortFrom(server, 80)
		}
		probes = append(probes, probe.Probe{
			Name:     "confirmation/" + d.name,
			Question: "Is a SYN that is " + d.question + " in the table afterwards, and was it ever announced?",
			Source:   confirmSource,
			Path:     d.path,
			Rules:    []lab.Rule{d.rule},
			Needs:    d.needs,
			Run:      func(p *probe.P) { confirm(p, to) },
		})
	}
	return append(probes, probe.Probe{
		Name:     "confirmation/accepted",
		Question: "Is a SYN that a listening socket takes in the table afterwards, and when is it announced?",
		Source:   confirmSource,
		Run: func(p *probe.P) {
			listen(p)
			confirm(p, web)
		},
	})
}

func confirm(p *probe.P, to netip.AddrPort) {
	events := p.Listen()
	f := wire.TCP(netip.AddrPortFrom(client, firstPort), to)
	near, far := p.BothWays(f.Orig(SYN))
	p.Count("syn", "mangle", int(p.Meters()["mangle"]))
	p.Events("syn", events())
	tableOf(p, "syn", p.Entries())
	p.Fate("near", near)
	if p.Box.Far != nil {
		p.Fate("far", far)
	}
	// The control: the same subscription announces a datagram, which no rule
	// stops.
	p.Through(wire.UDP(netip.AddrPortFrom(client, firstPort), netip.AddrPortFrom(to.Addr(), 9), "control"))
	p.Events("control", events())
	p.Entry("control", slices.DeleteFunc(p.Entries(), func(e ct.Entry) bool { return e.Proto != "udp" }))
}
