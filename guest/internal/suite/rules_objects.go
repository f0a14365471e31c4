package suite

import (
	"net/netip"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ctmatrix/ctmatrix/guest/internal/lab"
	"github.com/ctmatrix/ctmatrix/guest/internal/probe"
	"github.com/ctmatrix/ctmatrix/guest/internal/wire"
)

var rulesObjects = []probe.Probe{
	{
		Name:     "rules/timeout-udp",
		Question: "Which timeouts does `ct timeout set` give a UDP flow, does a flow from before get them, and what is left when the policy is gone?",
		Source:   "nft_ct_timeout_obj_eval and nft_ct_timeout_obj_destroy in nft_ct.c; nf_ct_untimeout",
		Path:     lab.Forward,
		Only:     probe.Initial,
		Needs:    []string{"nft_objref"},
		Timed:    true,
		Run: func(p *probe.P) {
			v := versions[0]
			from, to := v.udp()
			before := netip.AddrPortFrom(from.Addr(), from.Port()+1)
			p.Forth(wire.UDP(before, to, "x"))
			policy(p, "short", unix.IPPROTO_UDP, map[uint16]uint32{1: 7, 2: 70})
			outcome(p, "old-flow", wire.UDP(before, to, "x"))
			p.Flush()
			outcome(p, "first", wire.UDP(from, to, "x"))
			outcomeBack(p, "reply", wire.UDP(to, from, "y"))
			p.Wait(3 * time.Second) // what lasts two seconds is a stream
			outcome(p, "stream", wire.UDP(from, to, "z"))
			p.ClearRules()
			p.Add(lab.Classing("")...)
			outcome(p, "policy-gone", wire.UDP(from, to, "z"))
		},
	},
	{
		Name:     "rules/timeout-tcp",
		Question: "Which timeouts does `ct timeout set` give a TCP connection, where the policy names some states and not others?",
		Source:   "nft_ct_timeout_obj_eval in nft_ct.c; nf_conntrack_tcp_packet (nf_ct_timeout_lookup)",
		Path:     lab.Forward,
		Only:     probe.Initial,
		Needs:    []string{"nft_objref"},
		Run: func(p *probe.P) {
			// CTA_TIMEOUT_TCP_SYN_SENT, _ESTABLISHED and _TIME_WAIT.
			policy(p, "short", unix.IPPROTO_TCP, map[uint16]uint32{1: 11, 3: 33, 7: 77})
			f := tcpFlow()
			outcome(p, "syn", f.Orig(SYN))
			outcomeBack(p, "synack", f.Reply(SYN|ACK))
			outcome(p, "ack", f.Orig(ACK))
			outcome(p, "fin", f.Orig(FIN|ACK))
			outcomeBack(p, "fin-of-server", f.Reply(FIN|ACK))
			outcome(p, "fin-ack", f.Orig(ACK))
		},
	},
	{
		Name:     "rules/timeout-other-proto",
		Question: "Does a policy for UDP touch flows of other protocols?",
		Source:   "nft_ct_timeout_obj_eval in nft_ct.c",
		Path:     lab.Forward,
		Only:     probe.Initial,
		Needs:    []string{"nft_objref"},
		Run: func(p *probe.P) {
			policy(p, "short", unix.IPPROTO_UDP, map[uint16]uint32{1: 7, 2: 70})
			outcome(p, "syn", tcpFlow().Orig(SYN))
			p.Flush()
			outcome(p, "echo", wire.Echo(client, server, false, 1, 1))
		},
	},
	{
		Name:     "rules/expectation",
		Question: "`ct expectation set`: is a connection that it expects RELATED, by which packet is it made, how often is it of use, and how long?",
		Source:   "nft_ct_expect_obj_eval in nft_ct.c",
		Path:     lab.Forward,
		Only:     probe.Initial,
		Needs:    []string{"nft_objref"},
		Timed:    true,
		Run:      expects,
	},
	{
		Name:     "rules/expectation-late",
		Question: "Does `ct expectation set` make an expectation for a connection that was there before the rule?",
		Source:   "nft_ct_expect_obj_eval in nft_ct.c",
		Path:     lab.Forward,
		Only:     probe.Initial,
		Needs:    []string{"nft_objref"},
		Run: func(p *probe.P) {
			f := tcpFlow()
			opened(p, f)
			expectBy(p, "open", 1, 60*time.Second)
			passes(p, "data", f.Orig(ACK, wire.Payload("x")))
			expectedFlow(p, "expected", 20000)
		},
	},
	{
		Name:     "rules/expectation-full",
		Question: "What becomes of connections beyond the number that `ct expectation set` allows, and of a second one of the same two hosts?",
		Source:   "nft_ct_expect_obj_eval in nft_ct.c; nf_ct_expect_related",
		Path:     lab.Forward,
		Only:     probe.Initial,
		Needs:    []string{"nft_objref"},
		Run: func(p *probe.P) {
			expectBy(p, "open", 1, 60*time.Second)
			fs := talkers(versions[0], 2)
			passes(p, "first", fs[0].Orig(SYN))
			passes(p, "second", fs[1].Orig(SYN))
			expectedFlow(p, "expected-first", 20000)
			expectedFlow(p, "expected-second", 20001)
		},
	},
	{
		Name:     "rules/expectation-size-0",
		Question: "What does `ct expectation set` allow whose size is nothing?",
		Source:   "nft_ct_expect_obj_init and nft_ct_expect_obj_eval in nft_ct.c",
		Path:     lab.Forward,
		Only:     probe.Initial,
		Needs:    []string{"nft_objref"},
		Run: func(p *probe.P) {
			expectBy(p, "open", 0, 60*time.Second)
			passes(p, "syn", tcpFlow().Orig(SYN))
			p.Expected("syn")
			expectedFlow(p, "expected", 20000)
		},
	},
	{
		Name:     "rules/expectation-helped",
		Question: "Does `ct expectation set` make an expectation for a connection that has a helper, and may one have a helper that it has made one for?",
		Source:   "nft_ct_expect_obj_eval and nft_ct_helper_obj_eval in nft_ct.c",
		Path:     lab.Forward,
		Only:     probe.Initial,
		Needs:    []string{"nf_conntrack_ftp", "nft_objref"},
		Run: func(p *probe.P) {
			assign(p, "ftp", "tcp", unix.IPPROTO_TCP, 80)
			expectBy(p, "open", 1, 60*time.Second)
			p.Forth(tcpFlow().Orig(SYN))
			p.Expected("helper-first")
			p.Entry("helper-first", p.Entries())
			reload(p)
			expectBy(p, "open", 1, 60*time.Second)
			p.Must(p.Box.Rules.TryObject(lab.FilterForward, "ftp", lab.HelperObjectKind, helperPolicy("ftp", unix.IPPROTO_TCP)...))
			p.Add(lab.On(lab.FilterForward, lab.Object(lab.HelperObjectKind, "ftp")))
			p.Forth(tcpFlow().Orig(SYN))
			p.Expected("expectation-first")
			p.Entry("expectation-first", p.Entries())
		},
	},
	{
		Name:     "rules/expectation-nat",
		Question: "A client is translated: what does `ct expectation set` expect for it, and does the expected connection reach it?",
		Source:   "ct_expect_help and nft_ct_nat_follow_master in nft_ct.c; nf_nat_follow_master",
		Path:     lab.Forward,
		Only:     probe.Initial,
		Needs:    []string{"nft_objref", "nf_nat", "nft_chain_nat", "nft_nat"},
		Run: func(p *probe.P) {
			p.Add(lab.On(lab.NATPostrouting, lab.Out(lab.FarName), lab.SNAT(translated4)))
			expectBy(p, "open", 1, 60*time.Second)
			goes(p, "syn", tcpFlow().Orig(SYN))
			p.Expected("syn")
			back := wire.TCP(netip.AddrPortFrom(server, 20000), netip.AddrPortFrom(translated4, 8080))
			p.Mark()
			comes(p, "expected", back.Orig(SYN))
			p.Class("expected")
		},
	},
	{
		Name:     "rules/events",
		Question: "Does `ct event set` choose the events of a connection, and does it hold for one that has begun?",
		Source:   "nft_ct_set_eval (NFT_CT_EVENTMASK) in nft_ct.c; nf_ct_ecache_ext_add",
		Path:     lab.Forward,
		Only:     probe.Initial,
		Run: func(p *probe.P) {
			take := p.Listen()
			life := func(subject string) {
				p.Flush()
				take()
				f := tcpFlow()
				opened(p, f)
				p.Flush()
				p.Events(subject, take())
			}
			life("control")
			p.Add(lab.On(lab.ManglePrerouting, lab.CtState("new"), lab.CtSet("event", []byte{1, 0, 0, 0})))
			life("new-only")
			reload(p, lab.On(lab.ManglePrerouting, lab.CtState("new"), lab.CtSet("event", []byte{4, 0, 0, 0})))
			life("destroy-only")
			reload(p, lab.On(lab.ManglePrerouting, lab.CtState("established"), lab.CtSet("event", []byte{4, 0, 0, 0})))
			life("too-late")
		},
	},
	{
		Name:     "rules/notrack-late",
		Question: "What does notrack do after tracking, for a connection's first packet and for later ones?",
		Source:   "nft_notrack_eval in nft_ct.c",
		Path:     lab.Forward,
		Only:     probe.Initial,
		Run: func(p *probe.P) {
			f := tcpFlow()
			opened(p, f)
			p.Add(lab.On(lab.FilterForward, lab.Notrack))
			p.Add(lab.On(lab.Postrouting, lab.CtState("untracked"), lab.Meter("class.untracked")))
			outcome(p, "later", f.Orig(ACK, wire.Payload("x")))
			p.Flush()
			outcome(p, "first", tcpFlow().Orig(SYN))
			reload(p, append(lab.Classing(""), lab.On(lab.RawPrerouting, lab.Notrack))...)
			outcome(p, "control", tcpFlow().Orig(SYN))
		},
	},
	{
		Name:     "rules/notrack-begun",
		Question: "What becomes of an entry whose packets are no longer tracked, and of its answers?",
		Source:   "nft_notrack_eval in nft_ct.c",
		Path:     lab.Forward,
		Only:     probe.Initial,
		Run: func(p *probe.P) {
			f := tcpFlow()
			opened(p, f)
			p.Add(lab.On(lab.RawPrerouting, lab.In(lab.NearName), lab.Notrack))
			outcome(p, "data", f.Orig(ACK, wire.Payload("x")))
			outcomeBack(p, "answer", f.Reply(ACK, wire.Payload("y")))
			outcome(p, "fin", f.Orig(FIN|ACK))
			outcomeBack(p, "fin-of-server", f.Reply(FIN|ACK))
		},
	},
}

// policy makes a timeout policy and gives it to every new connection.
func policy(p *probe.P, name string, l4 uint8, states map[uint16]uint32) {
	p.Supported(p.Box.Rules.TryObject(lab.ManglePrerouting, name, lab.TimeoutObject, lab.TimeoutPolicy(l4, states)...), "CONFIG_NF_CONNTRACK_TIMEOUT")
	p.Add(lab.On(lab.ManglePrerouting, lab.Object(lab.TimeoutObject, name)))
}

// expectBy makes connections to port 80 expect others to port 8080.
func expectBy(p *probe.P, name string, size uint8, timeout time.Duration) {
	attrs := lab.ExpectationPolicy(unix.IPPROTO_TCP, 8080, timeout, size)
	p.Must(p.Box.Rules.TryObject(lab.FilterForward, name, lab.ExpectationObject, attrs...))
	p.Add(lab.On(lab.FilterForward, lab.Proto("tcp"), lab.Dport(80), lab.Object(lab.ExpectationObject, name)))
}

// expectedFlow records what the first packet of a connection is that the server
// opens to port 8080 of the client.
func expectedFlow(p *probe.P, subject string, from uint16) {
	f := wire.TCP(netip.AddrPortFrom(server, from), netip.AddrPortFrom(client, 8080))
	p.Mark()
	p.Back(f.Orig(SYN))
	p.Class(subject)
}

func expects(p *probe.P) {
	expectBy(p, "open", 2, 5*time.Second)
	expectedFlow(p, "unexpected", 19999)
	f := tcpFlow()
	passes(p, "syn", f.Orig(SYN))
	expectedFlow(p, "after-syn", 20000)
	passesBack(p, "synack", f.Reply(SYN|ACK))
	expectedFlow(p, "after-synack", 20001)
	passes(p, "ack", f.Orig(ACK))
	passes(p, "data", f.Orig(ACK, wire.Payload("x")))
	expectedFlow(p, "after-data", 20002)
	expectedFlow(p, "once-more", 20003)
	p.Flush()
	passes(p, "next-syn", tcpFlow().Orig(SYN))
	p.Wait(10 * time.Second)
	expectedFlow(p, "too-late", 20004)
}
