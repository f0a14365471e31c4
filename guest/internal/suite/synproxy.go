package suite

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/mdlayher/netlink"

	"github.com/ctmatrix/ctmatrix/guest/internal/lab"
	"github.com/ctmatrix/ctmatrix/guest/internal/probe"
	"github.com/ctmatrix/ctmatrix/guest/internal/wire"
)

const synproxySource = "nft_synproxy_do_eval in nft_synproxy.c; ipv4_synproxy_hook in nf_synproxy_core.c"

// proxied is how a SYN proxy is set up: SYNs are not tracked, and what tracking
// has no connection for goes to the proxy.
func proxied(proxy lab.Part) []lab.Rule {
	web := []lab.Part{lab.Proto("tcp"), lab.Dport(80)}
	return []lab.Rule{
		lab.On(lab.RawPrerouting, append(web[:2:2], lab.JustSYN, lab.Notrack)...),
		lab.On(lab.FilterForward, append(web[:2:2], lab.InvalidOrUntracked, proxy)...),
		lab.On(lab.FilterForward, lab.CtState("invalid"), lab.Drop),
	}
}

// synproxy asks the proxy, and SYN cookies of the box itself.
var synproxy = []probe.Probe{
	proxyStamps,
	behindProxy("handshake", "Who says what when a client connects through a SYN proxy, and what of it is tracked?", synproxySource, func(p *probe.P) {
		for _, v := range versions {
			reload(p, append(lab.Classing(""), proxied(lab.SynProxy(1460, 7, true, true))...)...)
			c := connect(p, v.name+"-", v, fullOffer()...)
			next, nextBack := c.server.NextOrig(), c.client.NextReply()
			c.said("data", false, c.client.Orig(ACK, append(c.stamped(), wire.Payload("hello"))...))
			c.said("data-back", true, c.server.Reply(ACK, append(c.serverStamped(), wire.Payload("there"))...))
			p.Flag(v.name+"-data", "in-sequence", len(c.heardServer) == 1 && c.heardServer[0].Seq == next)
			p.Flag(v.name+"-data-back", "in-sequence", len(c.heardClient) == 1 && c.heardClient[0].Seq == nextBack)
			c.said("fin", false, c.client.Orig(FIN|ACK, c.stamped()...))
			c.said("fin-of-server", true, c.server.Reply(FIN|ACK, c.serverStamped()...))
		}
	}),
	behindProxy("offers", "Which options reach the client and the server, by what the client offers and what the rule allows?", synproxySource+" (nft_synproxy_tcp_options)", func(p *probe.P) {
		for _, o := range []struct {
			name  string
			proxy lab.Part
			offer []wire.Option
		}{
			{"all", lab.SynProxy(1460, 7, true, true), fullOffer()},
			{"no-timestamps-offered", lab.SynProxy(1460, 7, true, true), []wire.Option{wire.MSS(1400), wire.SACKPermitted(), wire.WindowScale(5)}},
			{"no-timestamps-allowed", lab.SynProxy(1460, 7, false, true), fullOffer()},
			{"no-sack-allowed", lab.SynProxy(1460, 7, true, false), fullOffer()},
			{"nothing-offered", lab.SynProxy(1460, 7, true, true), nil},
			{"small-mss", lab.SynProxy(500, 0, true, true), fullOffer()},
			{"ecn", lab.SynProxy(1460, 7, true, true), append(fullOffer(), wire.ECN())},
		} {
			reload(p, append(lab.Classing(""), proxied(o.proxy)...)...)
			connect(p, o.name+"-", versions[0], o.offer...)
		}
	}),
	behindProxy("forged", "What becomes of an ACK without a cookie, of one that is a bit off, and of one that comes too late?", synproxySource+" (synproxy_recv_client_ack)", func(p *probe.P) {
		ask := func(subject string, late time.Duration, off uint32) {
			reload(p, append(lab.Classing(""), proxied(lab.SynProxy(1460, 7, true, true))...)...)
			f := tcpFlow()
			answer := p.Through(f.Orig(SYN, fullOffer()...))
			if len(answer) != 1 {
				p.Broken("%d packets answer the SYN, want one", len(answer))
			}
			f.HeardReply(answer[0])
			p.Wait(late)
			p.Mark()
			ts, _, _ := wire.TimestampOf(answer[0])
			ack := f.Orig(ACK, wire.AckBy(int(off)), wire.Timestamp(2, ts))
			p.OutcomeBothWays(subject, p.Forth(ack), p.ComeOut())
		}
		ask("right", 0, 0)
		ask("off-by-one", 0, 1)
		ask("off-by-a-hundred", 0, 100)
		// A cookie tells the minute, and the one before it counts, too.
		ask("after-55-s", 55*time.Second, 0)
		ask("after-five-minutes", 300*time.Second, 0)
		reload(p, append(lab.Classing(""), proxied(lab.SynProxy(1460, 7, true, true))...)...)
		outcome(p, "unasked", midway().Orig(ACK))
		outcome(p, "rst", midway().Orig(RST))
		outcome(p, "synack", midway().Orig(SYN|ACK))
	}),
	behindProxy("loose", "What becomes of the client's ACK where loose pickup is on?", synproxySource+"; nf_conntrack_tcp_loose in nf_conntrack-sysctl.rst", func(p *probe.P) {
		p.Set(looseSysctl, "1")
		p.Add(proxied(lab.SynProxy(1460, 7, true, true))...)
		connect(p, "", versions[0], fullOffer()...)
	}),
	behindProxy("server", "What does the client hear of a server that refuses, that is silent, and that answers twice?", synproxySource, func(p *probe.P) {
		p.Add(proxied(lab.SynProxy(1460, 7, true, true))...)
		c := start(p, versions[0], fullOffer()...)
		c.said("refused", true, c.server.Reply(RST|ACK))
		reload(p, append(lab.Classing(""), proxied(lab.SynProxy(1460, 7, true, true))...)...)
		c = start(p, versions[0], fullOffer()...)
		c.said("ack-again", false, c.client.Orig(ACK, c.stamped()...))
		answer := c.server.Reply(SYN|ACK, fullOffer()...)
		c.said("synack", true, answer)
		c.said("synack-again", true, answer)
	}),
	proxyForgets,
	behindProxy("statistics", "What does the proxy count?", "synproxy_cpu_seq_show in nf_synproxy_core.c", func(p *probe.P) {
		before := proxyCounts(p)
		p.Add(proxied(lab.SynProxy(1460, 7, true, true))...)
		connect(p, "", versions[0], fullOffer()...)
		p.Flush()
		p.Forth(midway().Orig(ACK))
		after := proxyCounts(p)
		var grown []string
		for i, c := range after {
			grown = append(grown, fmt.Sprintf("%s %d", c.name, c.n-before[i].n))
		}
		p.Text("statistics", "value", strings.Join(grown, ", "))
	}),
	behindProxy("expressions", "Which SYN proxies does the kernel take as rules?", "nft_synproxy_policy and nft_synproxy_do_init in nft_synproxy.c", func(p *probe.P) {
		const mss, wscale, flags = 1, 2, 3
		p.Add(lab.On(lab.FilterForward), lab.On(lab.MangleInput))
		for _, e := range []struct {
			name  string
			attrs []netlink.Attribute
		}{
			{"nothing", nil},
			{"all", []netlink.Attribute{{Type: mss, Data: []byte{5, 0xb4}}, {Type: wscale, Data: []byte{7}}, lab.Attr32(flags, 15)}},
			{"wscale-15", []netlink.Attribute{{Type: wscale, Data: []byte{15}}, lab.Attr32(flags, 2)}},
			{"unknown-flag", []netlink.Attribute{lab.Attr32(flags, 1<<8)}},
			{"ecn-flag", []netlink.Attribute{lab.Attr32(flags, 1<<4)}},
		} {
			p.Errno(e.name, p.Box.Rules.Try(lab.FilterForward, lab.Expression{Name: "synproxy", Attrs: e.attrs}))
		}
		p.Errno("in-prerouting", p.Box.Rules.Try(lab.ManglePrerouting, lab.Expression{Name: "synproxy"}))
		p.Errno("in-input", p.Box.Rules.Try(lab.MangleInput, lab.Expression{Name: "synproxy"}))
	}),
	{
		Name:     "synproxy/cookies",
		Question: "The box answers SYNs with cookies: what is tracked of the handshake, and does its last ACK count when the entry is gone, loose or not?",
		Source:   "cookie_v4_check in net/ipv4/syncookies.c; tcp_new in nf_conntrack_proto_tcp.c",
		Only:     probe.Initial,
		Timed:    true,
		// A cookie tells the minute and counts in the next one, too: the entry goes
		// before a second minute can have begun.
		Sysctls: []probe.Sysctl{{Name: cookiesSysctl, Value: "2"}, {Name: "net.netfilter.nf_conntrack_tcp_timeout_syn_recv", Value: "30"}},
		Run: func(p *probe.P) {
			listen(p)
			for i, c := range []struct {
				name, loose string
				wait        time.Duration
			}{{"soon", "1", 0}, {"late", "1", 31 * time.Second}, {"late-not-loose", "0", 31 * time.Second}} {
				p.Set(looseSysctl, c.loose)
				p.Flush()
				f := flows(1, firstPort+uint16(i), web)[0]
				answer := p.Through(f.Orig(SYN))
				p.Fate(c.name+"-syn", answer)
				p.Entry(c.name+"-syn", p.Entries())
				if len(answer) == 0 {
					p.Broken("no answer to the SYN")
				}
				f.HeardReply(answer[0])
				p.Wait(c.wait)
				p.Mark()
				out := p.Through(f.Orig(ACK), f.Orig(ACK, wire.Payload("GET")))
				p.Class(c.name + "-ack")
				p.Fate(c.name+"-ack", out)
				p.Entry(c.name+"-ack", p.Entries())
			}
		},
	},
}

// proxyForgets has a helper come and go while a box proxies.
var proxyForgets = func() probe.Probe {
	asked := behindProxy("helper-gone", "Does the proxy go on when a helper is taken back that has nothing to do with it?",
		"nf_conntrack_helper_unregister; nf_ct_ext_bump_genid in nf_conntrack_extend.c, where extensions have a generation", func(p *probe.P) {
			r := dial(p)
			proxies := func(subject string) {
				reload(p, append(lab.Classing(""), proxied(lab.SynProxy(1460, 7, true, true))...)...)
				c := start(p, versions[0], fullOffer()...)
				c.said(subject, true, c.server.Reply(SYN|ACK, fullOffer()...))
			}
			proxies("before")
			p.Must(addHelper(r, "ours"))
			p.Must(forgetHelpers(r))
			proxies("after")
		})
	asked.Needs = append(asked.Needs, helperModule)
	return forgetting(asked)
}()

const proxyModule = "nf_synproxy_core"

// behindProxy is a probe of the family.
func behindProxy(name, question, source string, run func(*probe.P)) probe.Probe {
	return probe.Probe{
		Name: "synproxy/" + name, Question: question, Source: source,
		Path: lab.Forward6, Only: probe.Initial, Timed: name == "forged", Run: run,
		Needs:   []string{proxyModule, "nft_synproxy"},
		Sysctls: []probe.Sysctl{{Name: looseSysctl, Value: "0"}, {Name: cookiesSysctl, Value: "1"}},
	}
}

func fullOffer() []wire.Option {
	return []wire.Option{wire.MSS(1400), wire.SACKPermitted(), wire.Timestamp(1, 0), wire.WindowScale(5)}
}

// proxiedTCP is a connection through the proxy, as its client and its server see
// it: they do not agree on the server's sequence numbers.
type proxiedTCP struct {
	p              *probe.P
	prefix         string
	client, server *wire.Flow
	// What came out because of the last packet of the other side.
	heardClient, heardServer []wire.Seen

	proxyTS uint32 // the proxy's timestamp, which the client echoes
}

// start takes a connection up to the SYN that the proxy sends to the server.
func start(p *probe.P, v version, offer ...wire.Option) *proxiedTCP {
	c := &proxiedTCP{p: p, client: v.tcp(), server: v.tcp()}
	answer := p.Through(c.client.Orig(SYN, offer...))
	if len(answer) != 1 {
		p.Broken("%d packets answer the SYN, want one", len(answer))
	}
	c.client.HeardReply(answer[0])
	c.proxyTS, _, _ = wire.TimestampOf(answer[0])
	p.Forth(c.client.Orig(ACK, c.stamped()...))
	c.server.Orig(SYN)
	return c
}

// stamped is the client's timestamp on a segment, where it has one.
func (c *proxiedTCP) stamped() []wire.Option {
	if c.proxyTS == 0 {
		return nil
	}
	return []wire.Option{wire.Timestamp(2, c.proxyTS)}
}

func (c *proxiedTCP) serverStamped() []wire.Option {
	if c.proxyTS == 0 {
		return nil
	}
	return []wire.Option{wire.Timestamp(1000, 0)}
}

// connect takes a connection through its handshake and records each step.
func connect(p *probe.P, prefix string, v version, offer ...wire.Option) *proxiedTCP {
	c := &proxiedTCP{p: p, prefix: prefix, client: v.tcp(), server: v.tcp()}
	back, forth := p.BothWays(c.client.Orig(SYN, offer...))
	p.Text(prefix+"syn", "answer", segments(back))
	p.Text(prefix+"syn", "forwarded", segments(forth))
	if len(back) == 1 { // a proxy that is silent is asked the rest, too
		c.client.HeardReply(back[0])
		c.proxyTS, _, _ = wire.TimestampOf(back[0])
	}
	c.said("ack", false, c.client.Orig(ACK, c.stamped()...))
	c.server.Orig(SYN)
	if c.proxyTS == 0 { // a server answers what it was offered
		offer = []wire.Option{wire.MSS(1400)}
	}
	c.said("synack", true, c.server.Reply(SYN|ACK, append(offer[:len(offer):len(offer)], wire.Window(1000))...))
	return c
}

// said records what a packet of a side makes the proxy say to both, what it is for
// tracking, and the entries.
func (c *proxiedTCP) said(subject string, fromServer bool, pkt wire.Packet) {
	c.p.Mark()
	var toClient, toServer []wire.Seen
	if fromServer {
		toServer, toClient = c.p.BackBothWays(pkt)
	} else {
		toClient, toServer = c.p.BothWays(pkt)
	}
	if fromServer {
		c.heardClient = toClient
	} else {
		c.heardServer = toServer
	}
	c.p.Class(c.prefix + subject)
	c.p.Text(c.prefix+subject, "to-client", segments(toClient))
	c.p.Text(c.prefix+subject, "to-server", segments(toServer))
	c.p.Entry(c.prefix+subject, c.p.Entries())
}

// segments are TCP segments with window and options: "SYN+ACK, window 0: mss
// 1460".
func segments(out []wire.Seen) string {
	var texts []string
	for _, s := range out {
		if s.Proto != "tcp" {
			texts = append(texts, s.Proto)
			continue
		}
		texts = append(texts, fmt.Sprintf("%s, window %d: %s", s.Flags, wire.WindowOf(s), wire.Offers(s)))
	}
	return listOr("nothing", texts)
}

type proxyCount struct {
	name string
	n    uint64
}

// proxyCounts reads the proxy's counters, summed over CPUs.
func proxyCounts(p *probe.P) []proxyCount {
	text, err := os.ReadFile("/proc/net/stat/synproxy")
	p.Must(err)
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	var counts []proxyCount
	for _, name := range strings.Fields(lines[0]) {
		counts = append(counts, proxyCount{name: name})
	}
	for _, line := range lines[1:] {
		for i, field := range strings.Fields(line) {
			n, err := strconv.ParseUint(field, 16, 64)
			p.Must(err)
			counts[i].n += n
		}
	}
	return counts
}
