package lab

import (
	"encoding/binary"
	"net/netip"
)

// What the conntrack match can be asked, of XT_CONNTRACK_* in
// include/uapi/linux/netfilter/xt_conntrack.h.
const (
	XtState     = 1 << 0
	XtProto     = 1 << 1
	XtOrigSrc   = 1 << 2
	XtStatus    = 1 << 6
	XtExpires   = 1 << 7
	XtOrigDport = 1 << 9
	XtDirection = 1 << 12
)

// XtConntrackMatch is what the conntrack match of x_tables asks.
type XtConntrackMatch struct {
	Asks, Inverted uint16 // of the constants above
	State, Status  uint16
	Proto          uint16
	OrigSrc        netip.Addr
	OrigDport      uint16
	Expires        [2]uint32 // seconds, from and to
}

// Extension is the match as revision 3 of it has it: struct
// xt_conntrack_mtinfo3.
func (m XtConntrackMatch) Extension() Extension {
	b := make([]byte, 164)
	if m.OrigSrc.IsValid() {
		copy(b, m.OrigSrc.AsSlice())
		copy(b[16:], []byte{255, 255, 255, 255})
	}
	native32(b[128:], m.Expires[0])
	native32(b[132:], m.Expires[1])
	native16(b[136:], m.Proto)
	native16(b[140:], m.OrigDport)
	native16(b[146:], m.Asks)
	native16(b[148:], m.Inverted)
	native16(b[150:], m.State)
	native16(b[152:], m.Status)
	native16(b[156:], m.OrigDport) // the end of the range
	return Extension{"conntrack", 3, b}
}

func native16(b []byte, v uint16) { binary.NativeEndian.PutUint16(b, v) }
func native32(b []byte, v uint32) { binary.NativeEndian.PutUint32(b, v) }

// Words32 is what an extension gets to know where that is numbers of 32 bits.
func Words32(words ...uint32) []byte {
	var b []byte
	for _, w := range words {
		b = binary.NativeEndian.AppendUint32(b, w)
	}
	return b
}

// XtTargetCT is what the CT target sets on connections: struct
// xt_ct_target_info_v1 of include/uapi/linux/netfilter/xt_CT.h.
type XtTargetCT struct {
	Flags, Zone        uint16
	Events, ExpEvents  uint32
	Helper, TimeoutPol string
	Revision           uint8 // 1 or 2
}

// Extension is the target as the kernel gets it.
func (t XtTargetCT) Extension() Extension {
	b := make([]byte, 72)
	native16(b, t.Flags)
	native16(b[2:], t.Zone)
	native32(b[4:], t.Events)
	native32(b[8:], t.ExpEvents)
	copy(b[12:28], t.Helper)
	copy(b[28:60], t.TimeoutPol)
	return Extension{"CT", t.Revision, b}
}

// XtConnbytes is the connbytes match: from and to, of what (0 packets, 1 bytes, 2
// bytes per packet), in which direction (0 original, 1 reply, 2 both); struct
// xt_connbytes_info.
func XtConnbytes(from, to uint64, what, direction uint8) Extension {
	b := binary.NativeEndian.AppendUint64(nil, from)
	b = binary.NativeEndian.AppendUint64(b, to)
	return Extension{"connbytes", 0, append(b, what, direction, 0, 0, 0, 0, 0, 0)}
}

// XtConnlimit matches where more than limit connections have the same address, of
// which mask says the bits that count; struct xt_connlimit_info. Flags: 1 inverts,
// 2 looks at destinations.
func XtConnlimit(mask [4]byte, limit, flags uint32) Extension {
	b := make([]byte, 32)
	copy(b, mask[:])
	native32(b[16:], limit)
	native32(b[20:], flags)
	return Extension{"connlimit", 1, b}
}
