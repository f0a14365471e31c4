package lab

import (
	"fmt"

	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// SynProxy answers SYNs in a server's place, which hears of a connection only
// when its client has acknowledged.
func SynProxy(mss uint16, wscale uint8, timestamps, sack bool) Part {
	text := fmt.Sprintf("synproxy mss %d wscale %d", mss, wscale)
	if timestamps {
		text += " timestamp"
	}
	if sack {
		text += " sack-perm"
	}
	return Part{text: text, exprs: []expr.Any{
		&expr.SynProxy{Mss: mss, Wscale: wscale, Timestamp: timestamps, SackPerm: sack, MssValueSet: true, WscaleValueSet: true}}}
}

// JustSYN matches TCP segments of which only the SYN flag is set.
var JustSYN = Part{text: "tcp flags syn / fin,syn,rst,ack", exprs: []expr.Any{
	&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: 13, Len: 1},
	&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 1, Mask: []byte{0x17}, Xor: []byte{0}},
	&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{0x02}},
}}

// InvalidOrUntracked matches what tracking has no connection for.
var InvalidOrUntracked = Part{text: "ct state invalid,untracked", exprs: []expr.Any{
	&expr.Ct{Key: unix.NFT_CT_STATE, Register: 1},
	&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 4, Mask: native(expr.CtStateBitINVALID | expr.CtStateBitUNTRACKED), Xor: native(0)},
	&expr.Cmp{Op: expr.CmpOpNeq, Register: 1, Data: native(0)},
}}
