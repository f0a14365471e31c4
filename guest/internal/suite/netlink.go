package suite

import (
	"github.com/ctmatrix/ctmatrix/guest/internal/lab"
	"github.com/ctmatrix/ctmatrix/guest/internal/probe"
)

// ctnetlink asks which requests the kernel takes and which it refuses. There is
// one entry, made by the probe's own packets: no seed can reach these rows.
var ctnetlink = []probe.Probe{
	{
		Name:     "netlink/tcp-state-range",
		Question: "Does ctnetlink take a TCP state that there is none of, and what does the entry have then?",
		Source:   "tcp_nla_policy and nlattr_to_tcp in nf_conntrack_proto_tcp.c; TCP_CONNTRACK_SYN_SENT2 is 9",
		Path:     lab.Forward,
		Only:     probe.Initial,
		Run: func(p *probe.P) {
			established(p)
			for _, s := range []struct {
				subject string
				state   uint8
			}{{"last", 9}, {"beyond", 10}, {"far", 255}} {
				p.Errno(s.subject, p.SetTCPState(p.Entries()[0], s.state))
				p.Entry(s.subject, p.Entries())
			}
		},
	},
}
