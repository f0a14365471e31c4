package suite

import (
	"fmt"
	"net/netip"

	"github.com/ctmatrix/ctmatrix/guest/internal/lab"
	"github.com/ctmatrix/ctmatrix/guest/internal/probe"
	"github.com/ctmatrix/ctmatrix/guest/internal/wire"
)

func port(a netip.AddrPort, n uint16) netip.AddrPort      { return netip.AddrPortFrom(a.Addr(), n) }
func addr(a netip.AddrPort, to netip.Addr) netip.AddrPort { return netip.AddrPortFrom(to, a.Port()) }

// Addresses that rules translate to, or from, in documentation's ranges.
var (
	translated4 = netip.MustParseAddr("203.0.113.1")
	translated6 = netip.MustParseAddr("2001:db8:3::1")
)

func (v version) translated() netip.Addr {
	if v.client.Is6() {
		return translated6
	}
	return translated4
}

const natErrors = "nf_nat_icmp_reply_translation and nf_nat_icmpv6_reply_translation in nf_nat_proto.c"

// nat are the modules behind a translation.
var nat = []string{"nf_nat", "nft_chain_nat", "nft_nat"}

var icmpTranslated = []probe.Probe{
	{
		Name:     "icmp/snat",
		Question: "Where the client's address is translated, whom does an error reach, what does its inner packet say, and are the checksums right?",
		Source:   natErrors + "; selftest conntrack_icmp_related.sh",
		Path:     lab.Forward6,
		Only:     probe.Initial,
		Needs:    nat,
		Rules:    []lab.Rule{lab.On(lab.NATPostrouting, lab.SNAT(translated4)), lab.On(lab.NATPostrouting, lab.SNAT(translated6))},
		Run: func(p *probe.P) {
			for _, v := range versions {
				p.Flush()
				from, to := v.udp()
				out := p.Forth(wire.UDP(from, to, "x"))
				told(p, v.name+"-sent", out)
				errorsBack(p, v, v.translated(), one(p, out))
				errorBack(p, v, "to-client", v.client, v.errors()[0], wire.UDP(from, to, "x").Data)
			}
		},
	},
	{
		Name:     "icmp/dnat",
		Question: "Where the server's address is translated, which one does the inner packet of an error tell the client?",
		Source:   natErrors,
		Path:     lab.Forward6,
		Only:     probe.Initial,
		Needs:    nat,
		Run: func(p *probe.P) {
			p.Add(lab.On(lab.NATPrerouting, lab.In(lab.NearName), lab.DNAT(server)),
				lab.On(lab.NATPrerouting, lab.In(lab.NearName), lab.DNAT(server6)))
			for _, v := range versions {
				p.Flush()
				from, to := v.udp()
				out := p.Forth(wire.UDP(from, addr(to, v.translated()), "x"))
				told(p, v.name+"-sent", out)
				errorsBack(p, v, v.client, one(p, out))
				// The server's side may tell of the address that it never saw.
				errorBack(p, v, "untranslated", v.client, v.errors()[0], wire.UDP(from, addr(to, v.translated()), "x").Data)
			}
		},
	},
	{
		Name:     "icmp/snat-echo",
		Question: "Is the id of a translated echo kept, and is an error about it translated back?",
		Source:   natErrors + "; nf_nat_icmp_manip_pkt",
		Path:     lab.Forward6,
		Only:     probe.Initial,
		Needs:    nat,
		Rules:    []lab.Rule{lab.On(lab.NATPostrouting, lab.SNAT(translated4)), lab.On(lab.NATPostrouting, lab.SNAT(translated6))},
		Run: func(p *probe.P) {
			for _, v := range versions {
				p.Flush()
				out := p.Forth(wire.Echo(v.client, v.server, false, 7, 1))
				told(p, v.name+"-sent", out)
				p.Flag(v.name+"-id", "kept", string(one(p, out)[v.transport()+4:v.transport()+6]) == "\x00\x07")
				told(p, v.name+"-reply", p.Back(wire.Echo(v.server, v.translated(), true, 7, 1)))
				e := v.errors()[0]
				told(p, v.name+"-error", p.Back(wire.ICMPError(v.router(), v.translated(), e.typ, e.code, e.rest, one(p, out))))
			}
		},
	},
}

// errorsBack has the router tell a receiver of a packet with the first few errors
// of the version, and records what comes out.
func errorsBack(p *probe.P, v version, receiver netip.Addr, about []byte) {
	for _, e := range v.errors()[:4] {
		errorBack(p, v, e.name, receiver, e, about)
	}
}

func errorBack(p *probe.P, v version, subject string, receiver netip.Addr, e icmpError, about []byte) {
	subject = v.name + "-" + subject
	p.Mark()
	back := p.Back(wire.ICMPError(v.router(), receiver, e.typ, e.code, e.rest, about))
	p.Class(subject)
	told(p, subject, back)
}

// one is the bytes of the only packet that came out.
func one(p *probe.P, out []wire.Seen) []byte {
	if len(out) != 1 {
		p.Broken("%d packets came out, want one to tell of", len(out))
	}
	return out[0].Data
}

// told records from whom to whom packets went that came out, what the packet
// that they tell of says, and whether checksums are right.
func told(p *probe.P, subject string, out []wire.Seen) {
	var inner, sums []string
	for _, s := range out {
		inner = append(inner, wire.Inner(s))
		sums = append(sums, wire.Sums(s))
	}
	p.Text(subject, "packet", ends(out))
	p.Text(subject, "inner", listOr("none", inner))
	p.Text(subject, "checksums", listOr("none", sums))
}

// ends are from whom to whom packets went that came out.
func ends(out []wire.Seen) string {
	var texts []string
	for _, s := range out {
		texts = append(texts, fmt.Sprintf("%s -> %s", s.Src.Addr(), s.Dst.Addr()))
	}
	return listOr("none", texts)
}
