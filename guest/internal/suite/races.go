package suite

import (
	"net/netip"
	"os"
	"slices"
	"strconv"

	"github.com/ctmatrix/ctmatrix/guest/internal/ct"
	"github.com/ctmatrix/ctmatrix/guest/internal/lab"
	"github.com/ctmatrix/ctmatrix/guest/internal/probe"
	"github.com/ctmatrix/ctmatrix/guest/internal/wire"
)

// raceRounds is how often two CPUs do the same thing at once. What the box sends
// waits in a link's queue, which has room for 500 packets (TUN_READQ_SIZE in
// drivers/net/tun.c), so that it is read every raceBatch rounds.
const (
	raceRounds = 1000
	raceBatch  = 100
)

// races have two CPUs do the same thing at once, many times, and tell how often it
// went one way or the other. That is chance: it is shown and compared with nothing.
// The families clash, queue and nat ask the same in an order of their own choice.
var races = []probe.Probe{
	racing("first-packets", "Two first packets of one conversation, on two CPUs: how many are lost, and how often do they clash?",
		clashSource, func(p *probe.P) {
			near := p.Box.Near
			lost, _ := race(p,
				rival{near, func(round int) wire.Packet { return raceAsk(client, round, "a") }},
				rival{near, func(round int) wire.Packet { return raceAsk(client, round, "bb") }})
			clashes(p, lost)
		}),
	racing("other-server", "The same, where the two are sent to different servers?",
		clashSource+" (nf_ct_resolve_clash_harder)", func(p *probe.P) {
			near := p.Box.Near
			a, b := raceAsk(client, 0, "a"), raceAsk(client, 0, "bb")
			p.Add(lab.On(lab.NATPrerouting, lab.Length(len(a.Data)), lab.DNAT(netip.MustParseAddr("198.19.0.2"))),
				lab.On(lab.NATPrerouting, lab.Length(len(b.Data)), lab.DNAT(netip.MustParseAddr("198.19.0.3"))))
			lost, _ := race(p,
				rival{near, func(round int) wire.Packet { return raceAsk(client, round, "a") }},
				rival{near, func(round int) wire.Packet { return raceAsk(client, round, "bb") }})
			clashes(p, lost)
			p.Chance("both", "entries", p.Listed()-raceRounds, raceRounds)
		}, nat...),
	racing("both-sides", "Both sides of a conversation send first, on two CPUs?",
		clashSource+`; "netfilter: nf_conntrack: add reverse-clash resolution"`, func(p *probe.P) {
			lost, _ := race(p,
				rival{p.Box.Near, func(round int) wire.Packet { return raceAsk(client, round, "a") }},
				rival{p.Box.Far, func(round int) wire.Packet {
					return wire.UDP(netip.AddrPortFrom(server, 53), racer(client, round), "b")
				}})
			clashes(p, lost)
		}),
	racing("same-port", "Two clients begin from the same port behind one address, on two CPUs: how many packets are lost to a port that both got?",
		"get_unique_tuple in nf_nat_core.c", func(p *probe.P) {
			near := p.Box.Near
			p.Add(sourceNAT[0])
			lost, _ := race(p,
				rival{near, func(round int) wire.Packet { return raceAsk(client, round, "a") }},
				rival{near, func(round int) wire.Packet { return raceAsk(client2, round, "b") }})
			clashes(p, lost)
		}, nat...),
	racing("limit", "Connections begin on two CPUs while the table is full: how many entries are there above its limit?",
		"__nf_conntrack_alloc in nf_conntrack_core.c, which counts before it compares", func(p *probe.P) {
			const most = 100
			p.Set(maxSysctl, strconv.Itoa(most))
			near := p.Box.Near
			race(p,
				rival{near, func(round int) wire.Packet { return raceAsk(client, round, "a") }},
				rival{near, func(round int) wire.Packet { return raceAsk(client2, round, "b") }})
			p.Chance("table", "above", max(0, p.Listed()-most), 2*raceRounds-most)
		}),
	racing("count", "Connections begin on two CPUs while a rule stops those above fifty: how many get through above that?",
		"nf_conncount_add in nf_conncount.c", func(p *probe.P) {
			const most = 50
			near := p.Box.Near
			p.Add(lab.On(lab.FilterForward, lab.CountOver(most), lab.Drop))
			_, out := race(p,
				rival{near, func(round int) wire.Packet { return raceAsk(client, round, "a") }},
				rival{near, func(round int) wire.Packet { return raceAsk(client2, round, "b") }})
			p.Chance("new", "above", max(0, out-most), 2*raceRounds-most)
		}, "nft_connlimit"),
	racing("list", "The table is listed on one CPU while connections begin, or buckets change, on the other: how many lists lack an entry that stays, or have it twice?",
		"ctnetlink_dump_table in nf_conntrack_netlink.c; nf_conntrack_hash_resize in nf_conntrack_core.c", raceLists),
}

// racing is a probe of the family.
func racing(name, question, source string, run func(*probe.P), needs ...string) probe.Probe {
	return probe.Probe{
		Name: "races/" + name, Question: question, Source: source,
		Path: lab.Forward, Only: probe.Initial, Needs: needs, Run: run,
	}
}

// rival is what one of the CPUs sends in a round, and where.
type rival struct {
	link   *lab.Link
	packet func(round int) wire.Packet
}

// race sends two packets at once in each round. It returns how many of them were
// lost, and how many came out.
func race(p *probe.P, rivals ...rival) (lost, out int) {
	p.Mark()
	for from := 0; from < raceRounds; from += raceBatch {
		var work []func(int) error
		for _, r := range rivals {
			var packets []wire.Packet // made before, so that both are sent at once
			for round := range raceBatch {
				packets = append(packets, r.packet(from+round))
			}
			work = append(work, func(round int) error { return r.link.Send(packets[round]) })
		}
		near, far := p.AtOnce(raceBatch, work...)
		out += len(near) + len(far)
	}
	return len(rivals)*raceRounds - out, out
}

// clashes records what was lost, and the clashes that the kernel counted.
func clashes(p *probe.P, lost int) {
	s := p.Stats()
	p.Chance("both", "lost", lost, 2*raceRounds)
	p.Chance("both", "clash_resolve", int(s.ClashResolve), raceRounds)
	p.Chance("both", "insert_failed", int(s.InsertFailed), raceRounds)
}

// racer is a client's end of the conversation of a round.
func racer(client netip.Addr, round int) netip.AddrPort {
	return netip.AddrPortFrom(client, firstPort+uint16(round))
}

// raceAsk is the first datagram of the conversation of a round.
func raceAsk(client netip.Addr, round int, text string) wire.Packet {
	return wire.UDP(racer(client, round), netip.AddrPortFrom(server, 53), text)
}

func raceLists(p *probe.P) {
	const steady, listings = 200, 50
	table, err := ct.Open()
	p.Must(err)
	p.Cleanup(table.Close)
	buckets := []string{"16384", "32768"}
	p.Set("net.netfilter.nf_conntrack_buckets", buckets[0])
	for _, c := range []struct {
		name    string
		meddles func(round int) error
	}{
		{"newcomers", func(round int) error {
			for i := range 20 {
				if err := p.Box.Near.Send(raceAsk(client2, round*20+i, "b")); err != nil {
					return err
				}
			}
			return nil
		}},
		{"other-buckets", func(round int) error {
			return os.WriteFile("/proc/sys/net/netfilter/nf_conntrack_buckets", []byte(buckets[round%2]), 0)
		}},
	} {
		p.Flush()
		var lasting []netip.AddrPort
		for i := range steady {
			p.Through(raceAsk(client, i, "a"))
			lasting = append(lasting, racer(client, i))
		}
		lacking, twice := 0, 0
		p.AtOnce(listings, func(int) error {
			entries, err := table.Entries()
			if err != nil {
				return err
			}
			seen := map[netip.AddrPort]int{}
			for _, e := range entries {
				seen[e.Orig.Src]++
			}
			if slices.ContainsFunc(lasting, func(a netip.AddrPort) bool { return seen[a] == 0 }) {
				lacking++
			}
			if slices.ContainsFunc(lasting, func(a netip.AddrPort) bool { return seen[a] > 1 }) {
				twice++
			}
			return nil
		}, c.meddles)
		p.Chance(c.name, "lacking", lacking, listings)
		p.Chance(c.name, "twice", twice, listings)
	}
}
