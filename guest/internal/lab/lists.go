package lab

import (
	"bytes"
	"encoding/binary"
	"slices"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/ctmatrix/ctmatrix/guest/internal/nfnl"
)

// kept is a list of rtnetlink's with the facts that were understood from it. As long as
// the kernel answers the same, byte for byte, they are the same, and nothing is decoded.
type kept struct {
	kind       Kind
	request    []byte
	understand func(*Witness, *State) error // asks again, and adds facts of the kind

	answer []byte // nil if there is none that the facts are of
	facts  []Fact
}

// keptLists are what of the initial namespace is not netfilter's, but for neighbours. The
// kernel is told to leave out of the list of links what they have carried.
func keptLists() []*kept {
	const skipStats = 1 << 3 // RTEXT_FILTER_SKIP_STATS
	links := nl.NewIfInfomsg(unix.AF_UNSPEC).Serialize()
	links = append(links, nl.NewRtAttr(unix.IFLA_EXT_MASK, nl.Uint32Attr(skipStats)).Serialize()...)
	return []*kept{
		{kind: KindLink, request: dump(unix.RTM_GETLINK, links), understand: (*Witness).readLinks},
		{kind: KindAddress, request: dump(unix.RTM_GETADDR, nl.NewIfAddrmsg(unix.AF_UNSPEC).Serialize()), understand: (*Witness).readAddresses},
		{kind: KindRoute, request: dump(unix.RTM_GETROUTE, make([]byte, unix.SizeofRtMsg)), understand: (*Witness).readRoutes},
		{kind: KindRule, request: dump(unix.RTM_GETRULE, make([]byte, unix.SizeofRtMsg)), understand: (*Witness).readRules},
	}
}

// dump asks for a list. All requests for one have the same sequence number, so that
// their answers have.
func dump(kind uint16, body []byte) []byte {
	b := binary.NativeEndian.AppendUint32(nil, uint32(unix.SizeofNlMsghdr+len(body)))
	b = binary.NativeEndian.AppendUint16(b, kind)
	b = binary.NativeEndian.AppendUint16(b, unix.NLM_F_REQUEST|unix.NLM_F_DUMP)
	b = binary.NativeEndian.AppendUint32(b, uint32(kind))
	return append(append(b, make([]byte, 4)...), body...)
}

// readKept adds the facts of the lists.
func (w *Witness) readKept(s *State) error {
	for _, l := range w.kept {
		if err := w.readList(l, s); err != nil {
			return err
		}
	}
	return nil
}

func (w *Witness) readList(l *kept, s *State) (err error) {
	w.now, err = w.lists.List(l.request, w.now[:0])
	asked := err == nil // or else understand tells what is wrong
	if asked && l.answer != nil && bytes.Equal(w.now, l.answer) {
		s[l.kind] = l.facts
		return nil
	}
	l.answer = nil
	if err := l.understand(w, s); err != nil || !asked {
		return err
	}
	// The facts are of an answer that is the same before and after.
	again, err := w.lists.List(l.request, nil)
	if err == nil && bytes.Equal(w.now, again) {
		l.answer, l.facts = again, slices.Clip(s[l.kind])
	}
	return nil
}

// made reports whether there is a neighbour that was made, and not learned: learned ones
// come, go and age by themselves.
func (w *Witness) made() (found bool, err error) {
	if w.now, err = w.lists.List(neighbours, w.now[:0]); err != nil {
		return false, err
	}
	_, err = nfnl.Messages(w.now, func(m nfnl.Message) error {
		const state = 4 // ndm_state in struct ndmsg, behind what all netlink messages begin with
		found = found || len(m.Attrs) < state+2 || binary.NativeEndian.Uint16(m.Attrs[state:])&unix.NUD_PERMANENT != 0
		return nil
	})
	return found, err
}

var neighbours = dump(unix.RTM_GETNEIGH, make([]byte, unix.SizeofNdMsg))
