package lab

import (
	"encoding/binary"
	"net/netip"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/google/nftables/xt"
)

// Chains for the targets of x_tables that translate, which insist on the name of
// the table.
var (
	XtNATPrerouting  = Chain{"PREROUTING", nftables.ChainTypeNAT, nftables.ChainHookPrerouting, -100, nftables.TableFamilyIPv4, "nat"}
	XtNATPostrouting = Chain{"POSTROUTING", nftables.ChainTypeNAT, nftables.ChainHookPostrouting, 100, nftables.TableFamilyIPv4, "nat"}
)

// What the range of an XtNAT says: NF_NAT_RANGE_* of
// include/uapi/linux/netfilter/nf_nat.h.
const (
	XtMapIPs         = 1 << 0
	XtProtoSpecified = 1 << 1
	XtProtoOffset    = 1 << 5
)

// XtNAT is a target of x_tables that translates: SNAT, DNAT, MASQUERADE, REDIRECT
// or NETMAP.
type XtNAT struct {
	Target         string
	Flags          uint32 // of the constants above
	From, To       netip.Addr
	Low, High      uint16
	Base           uint16 // of XtProtoOffset: the port that becomes the range's first
	Ranges         uint32 // of a target of revision 0; 1 unless given
	TargetRevision uint32 // 0, or 2 of SNAT and DNAT
}

// Part is the target as a statement: struct nf_nat_range2 for revision 2, struct
// nf_nat_ipv4_multi_range_compat for revision 0.
func (n XtNAT) Part() Part {
	var info []byte
	if n.TargetRevision == 0 {
		info = binary.NativeEndian.AppendUint32(info, max(n.Ranges, 1))
	}
	info = binary.NativeEndian.AppendUint32(info, n.Flags)
	size := 4 // of an address: IPv4's, or room for either version's
	if n.TargetRevision == 2 {
		size = 16
	}
	for _, a := range []netip.Addr{n.From, n.To} {
		room := make([]byte, size)
		if a.IsValid() {
			copy(room, a.AsSlice())
		}
		info = append(info, room...)
	}
	info = binary.BigEndian.AppendUint16(info, n.Low)
	info = binary.BigEndian.AppendUint16(info, n.High)
	if n.TargetRevision == 2 {
		info = binary.BigEndian.AppendUint16(info, n.Base)
	}
	for len(info)%8 != 0 {
		info = append(info, 0)
	}
	raw := xt.Unknown(info)
	return Part{text: "xt target " + n.Target, exprs: []expr.Any{&expr.Target{Name: n.Target, Rev: n.TargetRevision, Info: &raw}}}
}
