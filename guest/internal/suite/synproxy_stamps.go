package suite

import (
	"fmt"

	"github.com/ctmatrix/ctmatrix/guest/internal/lab"
	"github.com/ctmatrix/ctmatrix/guest/internal/probe"
	"github.com/ctmatrix/ctmatrix/guest/internal/wire"
)

// proxyStamps asks of the timestamps of a connection through the proxy: the client
// knows those with which the proxy answered it, and the server those of its own.
var proxyStamps = behindProxy("timestamps", "Do client and server behind a SYN proxy each hear timestamps that go on, and their own again, and what if one is there twice?",
	"synproxy_tstamp_adjust in nf_synproxy_core.c", func(p *probe.P) {
		const served = 5000 // the server's clock when it answers
		p.Add(proxied(lab.SynProxy(1460, 7, true, true))...)
		c := start(p, versions[0], fullOffer()...)
		p.Back(c.server.Reply(SYN|ACK, wire.MSS(1400), wire.SACKPermitted(), wire.Timestamp(served, 1), wire.WindowScale(5)))
		// The proxy's clock may be anything: what is recorded is how far from it, and
		// from the server's, a timestamp is.
		hears := func(subject string, out []wire.Seen, from uint32, which func(wire.Stamp) uint32) {
			var texts []string
			for _, s := range out {
				for _, stamp := range wire.TimestampsOf(s) {
					texts = append(texts, distance(which(stamp)-from))
				}
			}
			p.Text(subject, "timestamps", listOr("none", texts))
		}
		echo := func(s wire.Stamp) uint32 { return s.Echo }
		value := func(s wire.Stamp) uint32 { return s.Value }
		client, server := wire.Timestamp(2, c.proxyTS+10), wire.Timestamp(served+20, 2)
		hears("data", p.Forth(c.client.Orig(ACK, client, wire.Payload("ask"))), served, echo)
		hears("data-back", p.Back(c.server.Reply(ACK, server, wire.Payload("answer"))), c.proxyTS, value)
		hears("twice", p.Forth(c.client.Orig(ACK, client, client)), served, echo)
		hears("twice-back", p.Back(c.server.Reply(ACK, server, server)), c.proxyTS, value)
	})

// distance is how far a timestamp is from where it is looked for, if that is near.
func distance(d uint32) string {
	if int32(d) < -1000 || int32(d) > 1000 {
		return "elsewhere"
	}
	return fmt.Sprintf("%d further", int32(d))
}
