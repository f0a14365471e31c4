package suite

import (
	"fmt"

	"github.com/ctmatrix/ctmatrix/guest/internal/lab"
	"github.com/ctmatrix/ctmatrix/guest/internal/probe"
	"github.com/ctmatrix/ctmatrix/guest/internal/wire"
)

const extSource = "ipv6_get_l4proto in nf_conntrack_core.c and ipv6_skip_exthdr in net/ipv6/exthdrs_core.c"

// extensions ask where the tracker finds the transport header of IPv6.
var extensions = []probe.Probe{
	damaged("extension", lab.Forward6, "Behind which extension headers does the tracker find a SYN, and what is it where it does not?",
		extSource, func(p *probe.P) {
			for _, c := range []struct {
				name  string
				chain []wire.Extension
			}{
				{"none", nil},
				{"hop-by-hop", []wire.Extension{hopByHop}},
				{"destination", []wire.Extension{destination}},
				{"routing-type-0", []wire.Extension{routing(0, 0)}},
				{"routing-type-0-left", []wire.Extension{routing(0, 1)}},
				{"routing-type-4", []wire.Extension{routing(4, 0)}},
				{"routing-type-4-left", []wire.Extension{routing(4, 1)}},
				{"whole-fragment", []wire.Extension{{Number: 44, Rest: []byte{0, 0, 0, 0, 0, 0, 7}}}},
				{"authentication", []wire.Extension{{Number: 51, Rest: append([]byte{4, 0, 0, 0, 0, 0, 7}, make([]byte, 16)...)}}},
				{"encapsulation", []wire.Extension{{Number: 50, Rest: []byte{0, 0, 7, 0, 0, 0, 1}}}},
				{"mobility", []wire.Extension{{Number: 135, Rest: []byte{0, 0, 0, 0, 0, 0, 0}}}},
				{"host-identity", []wire.Extension{{Number: 139, Rest: []byte{0, 0, 0, 0, 0, 0, 0}}}},
				{"shim6", []wire.Extension{{Number: 140, Rest: []byte{0, 0, 0, 0, 0, 0, 0}}}},
				{"experimental", []wire.Extension{{Number: 253, Rest: []byte{0, 1, 4, 0, 0, 0, 0}}}},
				{"no-next", []wire.Extension{{Number: 59}}},
				{"all", []wire.Extension{hopByHop, destination, routing(4, 0), destination}},
				{"hop-by-hop-second", []wire.Extension{destination, hopByHop}},
				{"destination-twice", []wire.Extension{destination, destination}},
				{"authentication-twice", []wire.Extension{
					{Number: 51, Rest: append([]byte{1, 0, 0, 0, 0, 0, 7}, make([]byte, 4)...)},
					{Number: 51, Rest: append([]byte{1, 0, 0, 0, 0, 0, 7}, make([]byte, 4)...)}}},
			} {
				p.Flush()
				answered(p, c.name, versions[1].tcp().Orig(SYN).Extended(c.chain...))
			}
		}, allErrors6),
	damaged("extension-count", lab.Forward6, "Behind how many extension headers is a transport header not looked for any more?",
		extSource+": IP6_MAX_EXT_HDRS_CNT, where a kernel has it", func(p *probe.P) {
			for _, n := range []int{1, 8, 9, 11, 12, 13, 32} {
				p.Flush()
				var chain []wire.Extension
				for range n {
					chain = append(chain, destination)
				}
				outcome(p, fmt.Sprintf("headers-%d", n), versions[1].tcp().Orig(SYN).Extended(chain...))
			}
		}),
	damaged("extension-length", lab.Forward6, "Is a packet tracked whose extension header ends with the packet, behind it, or is cut?",
		extSource, func(p *probe.P) {
			bare := versions[1].tcp().Orig(SYN)
			for _, c := range []struct {
				name string
				kind byte
				rest []byte
			}{
				{"ends-with-packet", 60, []byte{0, 1, 4, 0, 0, 0, 0}},
				{"one-unit-over", 60, []byte{1, 1, 4, 0, 0, 0, 0}},
				{"far-over", 60, []byte{255, 1, 4, 0, 0, 0, 0}},
				{"one-byte", 60, nil},
				{"two-bytes", 60, []byte{0}},
				{"seven-bytes", 60, []byte{0, 1, 4, 0, 0, 0}},
				{"fragment-one-byte", 44, nil},
				{"fragment-seven-bytes", 44, []byte{0, 0, 0, 0, 0, 0}},
				{"no-next", 59, nil},
			} {
				p.Flush()
				outcome(p, c.name, bare.Carry(append([]byte{6}, c.rest...)).Set(6, c.kind))
			}
			p.Flush()
			outcome(p, "nothing", bare.Carry(nil).Set(6, 59))
			p.Flush()
			outcome(p, "nothing-but-unknown", bare.Carry(nil).Set(6, wire.ProtoUnknown))
		}),
}

// hopByHop and destination hold nothing but padding.
var (
	hopByHop    = wire.Extension{Number: 0, Rest: []byte{0, 1, 4, 0, 0, 0, 0}}
	destination = wire.Extension{Number: 60, Rest: []byte{0, 1, 4, 0, 0, 0, 0}}
)

// routing is a routing header of a type, with one address in it, of which there
// are so many left to go by.
func routing(typ, left byte) wire.Extension {
	hop := server6.As16()
	return wire.Extension{Number: 43, Rest: append([]byte{2, typ, left, 0, 0, 0, 0}, hop[:]...)}
}
