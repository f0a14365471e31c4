package lab

import (
	"encoding/binary"
	"fmt"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/google/nftables/xt"
	"golang.org/x/sys/unix"
)

// The parts below are rules whose mere presence may make a namespace track.
// Each can be put behind a match that no packet of an experiment fulfils.

// XtNotrack is the NOTRACK action of the x_tables CT target: struct
// xt_ct_target_info_v1 of include/uapi/linux/netfilter/xt_CT.h, with
// XT_CT_NOTRACK in its flags.
func XtNotrack() Part { return xtCT("CT --notrack", 1) }

// XtCT is the x_tables CT target with nothing to set, which attaches an empty
// template.
func XtCT() Part { return xtCT("CT", 0) }

func xtCT(text string, flags uint16) Part {
	info := make([]byte, 72)
	binary.NativeEndian.PutUint16(info, flags)
	raw := xt.Unknown(info)
	return Part{text: "xt target " + text, exprs: []expr.Any{&expr.Target{Name: "CT", Rev: 2, Info: &raw}}}
}

// XtConntrackNew matches new connections through the x_tables conntrack match:
// struct xt_conntrack_mtinfo3 of include/uapi/linux/netfilter/xt_conntrack.h.
func XtConntrackNew() Part {
	const (
		matchFlags = 146 // offset of match_flags
		stateMask  = 150 // offset of state_mask
		stateFlag  = 1   // XT_CONNTRACK_STATE
		stateNew   = 8   // XT_CONNTRACK_STATE_BIT(IP_CT_NEW)
	)
	info := make([]byte, 168)
	binary.NativeEndian.PutUint16(info[matchFlags:], stateFlag)
	binary.NativeEndian.PutUint16(info[stateMask:], stateNew)
	raw := xt.Unknown(info)
	return Part{text: "xt match conntrack --ctstate NEW", exprs: []expr.Any{&expr.Match{Name: "conntrack", Rev: 3, Info: &raw}}}
}

// Redirect sends a connection to another port of the box; only for a chain of
// type nat.
func Redirect(port uint16) Part {
	return Part{text: fmt.Sprintf("redirect to :%d", port), exprs: []expr.Any{
		&expr.Immediate{Register: 1, Data: []byte{byte(port >> 8), byte(port)}},
		&expr.Redir{RegisterProtoMin: 1},
	}}
}

// HelperObject makes a ct helper object for FTP in the rule's table. It does
// not assign it to anything.
func HelperObject() Part {
	return Part{text: `(with ct helper "ftp-standard")`, object: func(conn *nftables.Conn, t *nftables.Table) {
		conn.AddObj(&nftables.NamedObj{Table: t, Name: "ftp-standard", Type: nftables.ObjTypeCtHelper,
			Obj: &expr.CtHelper{Name: "ftp", L4Proto: unix.IPPROTO_TCP, L3Proto: unix.NFPROTO_IPV4}})
	}}
}

// AssignHelper assigns the helper object of HelperObject.
func AssignHelper() Part {
	return Part{text: `ct helper set "ftp-standard"`, exprs: []expr.Any{
		&expr.Objref{Type: int(nftables.ObjTypeCtHelper), Name: "ftp-standard"}}}
}

// Flowtable makes a flowtable over the given devices in the rule's table.
func Flowtable(devices ...string) Part {
	return Part{text: `(with flowtable "fast")`, object: func(conn *nftables.Conn, t *nftables.Table) {
		conn.AddFlowtable(&nftables.Flowtable{Table: t, Name: "fast", Devices: devices,
			Hooknum: nftables.FlowtableHookIngress, Priority: nftables.FlowtablePriorityFilter})
	}}
}

// CountingFlowtable is Flowtable with counters, which count for the connection.
func CountingFlowtable(devices ...string) Part {
	return Part{text: `(with flowtable "fast", counter)`, object: func(conn *nftables.Conn, t *nftables.Table) {
		conn.AddFlowtable(&nftables.Flowtable{Table: t, Name: "fast", Devices: devices, Flags: nftables.FlowtableFlagsCounter,
			Hooknum: nftables.FlowtableHookIngress, Priority: nftables.FlowtablePriorityFilter})
	}}
}

// FlowAdd hands a connection to the flowtable.
func FlowAdd() Part {
	return Part{text: "flow add @fast", exprs: []expr.Any{&expr.FlowOffload{Name: "fast"}}}
}

// Never matches no packet of any experiment.
var Never = PacketMark(0xdead)
