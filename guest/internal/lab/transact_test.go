package lab

import (
	"errors"
	"testing"

	"github.com/google/nftables"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// Each refusal is told, in the order of the messages, as the library would.
func TestTransactorRefusals(t *testing.T) {
	var told transactor
	for _, errno := range []unix.Errno{unix.EOPNOTSUPP, unix.ENOENT} {
		told.refuse(errno)
	}
	sends := true
	conn, err := nftables.New(nftables.WithTestDial(func(m []netlink.Message) ([]netlink.Message, error) {
		if len(m) > 0 && !sends {
			t.Error("sent twice")
		}
		sends = sends && len(m) == 0
		return told.answer(nil)
	}))
	if err != nil {
		t.Fatal(err)
	}
	conn.AddTable(&nftables.Table{Name: "a"})
	conn.AddTable(&nftables.Table{Name: "b"})
	conn.AddTable(&nftables.Table{Name: "c"})
	err = conn.Flush()
	if !errors.Is(err, unix.EOPNOTSUPP) || !errors.Is(err, unix.ENOENT) {
		t.Errorf("refusals %v", err)
	}
	var first unix.Errno
	if !errors.As(err, &first) || first != unix.EOPNOTSUPP {
		t.Errorf("the first is %v", first)
	}
	conn.AddTable(&nftables.Table{Name: "d"})
	sends = true
	if err := conn.Flush(); err != nil {
		t.Errorf("nothing was refused: %v", err)
	}
}
