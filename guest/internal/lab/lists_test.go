package lab

import (
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/ctmatrix/ctmatrix/guest/internal/nfnl"
)

// What is compared must hold all that facts are made of, in every family of addresses.
func TestKeptLists(t *testing.T) {
	route, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		t.Fatal(err)
	}
	defer route.Close()
	conn, err := nfnl.DialProtocol(unix.NETLINK_ROUTE)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	w := &Witness{route: route, lists: conn.Short()}
	for _, l := range keptLists() {
		first, second := &State{}, &State{}
		for _, s := range []*State{first, second} {
			if err := w.readList(l, s); err != nil {
				t.Fatal(err)
			}
		}
		if !same(first[l.kind], second[l.kind]) {
			t.Errorf("%s: facts were made again of the same answer", kindNames[l.kind])
		}
		messages := 0
		done, err := nfnl.Messages(l.answer, func(nfnl.Message) error { messages++; return nil })
		if !done || err != nil || messages < len(first[l.kind]) {
			t.Errorf("%s: %d facts of %d messages, done %v: %v", kindNames[l.kind], len(first[l.kind]), messages, done, err)
		}
		if len(first[l.kind]) == 0 && l.kind == KindLink {
			t.Error("no link, not even lo")
		}

		l.answer[len(l.answer)-1] ^= 1 // the kernel said something else
		third := &State{}
		if err := w.readList(l, third); err != nil {
			t.Fatal(err)
		}
		if len(third[l.kind]) > 0 && same(first[l.kind], third[l.kind]) {
			t.Errorf("%s: facts are of another answer", kindNames[l.kind])
		}
	}
}
