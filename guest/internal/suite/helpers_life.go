package suite

import (
	"fmt"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ctmatrix/ctmatrix/guest/internal/lab"
	"github.com/ctmatrix/ctmatrix/guest/internal/probe"
	"github.com/ctmatrix/ctmatrix/guest/internal/wire"
)

// portLine is what a client of FTP says to be called at a port.
func portLine(port int) wire.Option {
	return wire.Payload(fmt.Sprintf("PORT 198,18,0,2,%d,%d\r\n", port/256, port%256))
}

var helpersLife = []probe.Probe{
	helped("limit", "ftp", "How many expectations may a connection have, which one goes for another, and how many may there be in all?", "__nf_ct_expect_check and evict_oldest_expect in nf_conntrack_expect.c", func(p *probe.P) {
		assign(p, "ftp", "tcp", unix.IPPROTO_TCP, 21)
		f := ftpControl(p, versions[0], firstPort)
		heard(p, "first", p.Forth(f.Orig(ACK, portLine(20000))))
		heard(p, "second", p.Forth(f.Orig(ACK, portLine(20001))))
		heard(p, "same-again", p.Forth(f.Orig(ACK, portLine(20001))))
		p.Set("net.netfilter.nf_conntrack_expect_max", "1")
		other := ftpControl(p, versions[0], firstPort+1)
		heard(p, "no-room", p.Forth(other.Orig(ACK, portLine(20002))))
	}),
	helped("clash", "ftp", "Two connections expect the same one: who gets it?", "expect_clash and expect_matches in nf_conntrack_expect.c", func(p *probe.P) {
		assign(p, "ftp", "tcp", unix.IPPROTO_TCP, 21)
		fs := []*wire.Flow{}
		for i := range 2 {
			fs = append(fs, ftpControl(p, versions[0], firstPort+uint16(i)))
		}
		heard(p, "first", p.Forth(fs[0].Orig(ACK, portLine(20000))))
		heard(p, "second", p.Forth(fs[1].Orig(ACK, portLine(20000))))
	}),
	helped("gone", "ftp", "What becomes of an expectation when its connection is deleted, or reset, or when all are flushed?", "nf_ct_remove_expectations in nf_conntrack_expect.c", func(p *probe.P) {
		assign(p, "ftp", "tcp", unix.IPPROTO_TCP, 21)
		begin := func() *wire.Flow {
			p.Flush()
			f := ftpControl(p, versions[0], firstPort)
			p.Forth(f.Orig(ACK, portLine(20000)))
			return f
		}
		begin()
		p.Delete(p.Entries()[0])
		p.Expected("deleted")
		begin()
		p.Flush()
		p.Expected("flushed")
		f := begin()
		p.Forth(f.Orig(RST))
		p.Expected("reset")
	}),
	timedHelper("expires", "ftp", "When is an expectation gone that nobody fulfils: listed, and matched?", "nf_ct_expectation_timed_out and its successors in nf_conntrack_expect.c", func(p *probe.P) {
		assign(p, "ftp", "tcp", unix.IPPROTO_TCP, 21)
		f := ftpControl(p, versions[0], firstPort)
		p.Forth(f.Orig(ACK, portLine(20000)))
		p.Wait(298 * time.Second)
		p.Count("at-298", "listed", len(p.Expectations()))
		p.Wait(22 * time.Second) // the timer of older kernels is 16 seconds coarse
		p.Count("at-320", "listed", len(p.Expectations()))
		data := wire.TCP(netip.AddrPortFrom(server, 20), netip.AddrPortFrom(client, 20000))
		p.Mark()
		p.Back(data.Orig(SYN))
		p.Class("data")
	}),
	helped("object", "ftp", "A helper's object is deleted: do its connections keep their helper?", "nft_ct_helper_obj_destroy in nft_ct.c", func(p *probe.P) {
		assign(p, "ftp", "tcp", unix.IPPROTO_TCP, 21)
		f := ftpControl(p, versions[0], firstPort)
		p.Entry("before", p.Entries())
		p.ClearRules()
		p.Add(lab.Classing("")...)
		p.Entry("after", p.Entries())
		heard(p, "port", p.Forth(f.Orig(ACK, portLine(20000))))
	}),
	helped("assigned", "ftp", "Which connections does a rule give a helper: new ones, ones that have begun, ones of another protocol?", "nft_ct_helper_obj_eval in nft_ct.c", func(p *probe.P) {
		f := ftpControl(p, versions[0], firstPort)
		assign(p, "ftp", "tcp", unix.IPPROTO_TCP, 21)
		heard(p, "begun", p.Forth(f.Orig(ACK, portLine(20000))))
		p.Entry("begun", p.Entries())
		reload(p, lab.Classing("")...)
		p.Must(p.Box.Rules.TryObject(lab.ManglePrerouting, "any", lab.HelperObjectKind, helperPolicy("ftp", unix.IPPROTO_TCP)...))
		p.Add(lab.On(lab.ManglePrerouting, lab.Object(lab.HelperObjectKind, "any")))
		from, to := versions[0].udp()
		p.Forth(wire.UDP(from, to, "x"))
		p.Entry("udp", p.Entries())
		p.Flush()
		p.Forth(versions[1].tcp().Orig(SYN))
		p.Entry("v6", p.Entries())
	}),
	helped("automatic", "ftp", "Does the kernel give connections to a helper's port that helper by itself, where it can?", "nf_ct_lookup_helper in nf_conntrack_helper.c, up to 5.x; nf_conntrack_helper in nf_conntrack-sysctl.rst", func(p *probe.P) {
		ask := func(subject string) {
			p.Flush()
			p.Mark()
			f := ftpControl(p, versions[0], firstPort)
			p.Entry(subject, p.Entries())
			heard(p, subject, p.Forth(f.Orig(ACK, portLine(20000))))
		}
		ask("by-default")
		p.Set("net.netfilter.nf_conntrack_helper", "1")
		ask("switched-on")
	}),
	helped("events", "ftp", "Which events tell of a helper and of an expectation, and does the expected connection tell whose it is?", "nf_ct_expect_event_report in nf_conntrack_ecache.c; ctnetlink_conntrack_event", func(p *probe.P) {
		assign(p, "ftp", "tcp", unix.IPPROTO_TCP, 21)
		take := p.Listen()
		f := ftpControl(p, versions[0], firstPort)
		p.Events("control", take())
		p.Forth(f.Orig(ACK, portLine(20000)))
		p.Events("port", take())
		p.Back(wire.TCP(netip.AddrPortFrom(server, 20), netip.AddrPortFrom(client, 20000)).Orig(SYN))
		p.Events("data", take())
		p.Flush()
		p.Events("end", take())
	}),
	helped("zone", "ftp", "Is a connection expected in another zone than that of its master?", "nf_ct_find_expectation and nf_ct_exp_zone_equal_any in nf_conntrack_expect.c", func(p *probe.P) {
		assign(p, "ftp", "tcp", unix.IPPROTO_TCP, 21)
		p.Add(inZone(1, lab.Proto("tcp"), lab.Dport(21)), inZone(1, lab.Proto("tcp"), lab.Sport(21)))
		f := ftpControl(p, versions[0], firstPort)
		heard(p, "port", p.Forth(f.Orig(ACK, portLine(20000))))
		data := func() *wire.Flow { return wire.TCP(netip.AddrPortFrom(server, 20), netip.AddrPortFrom(client, 20000)) }
		p.Mark()
		p.Back(data().Orig(SYN))
		p.Class("no-zone")
		p.Add(inZone(1, lab.Proto("tcp"), lab.Dport(20000)))
		p.Mark()
		p.Back(data().Orig(SYN))
		p.Class("same-zone")
	}),
}

func timedHelper(name, helper, question, source string, run func(*probe.P)) probe.Probe {
	pr := helped(name, helper, question, source, run)
	pr.Timed = true
	return pr
}
