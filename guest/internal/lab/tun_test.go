package lab

import (
	"bytes"
	"errors"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/ctmatrix/ctmatrix/guest/internal/wire"
)

// What two goroutines send at once, as races do, arrives as each sent it.
func TestSendAtOnce(t *testing.T) {
	ends, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_DGRAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(ends[1])
	link := &Link{Name: NearName, fd: ends[0]}
	const each = 20000
	texts := [][]byte{bytes.Repeat([]byte{0x45}, 40), bytes.Repeat([]byte{0x46}, 60)}
	var senders sync.WaitGroup
	errs := make([]error, len(texts))
	for i, text := range texts {
		senders.Go(func() {
			for range each {
				errs[i] = errors.Join(errs[i], link.Send(wire.Packet{Data: text}))
			}
		})
	}
	arrived := make([]int, len(texts))
	buf := make([]byte, 128)
	for range each * len(texts) {
		n, err := unix.Read(ends[1], buf)
		if err != nil {
			t.Fatal(err)
		}
		for i, text := range texts {
			if bytes.Equal(buf[piLen:n], text) {
				arrived[i]++
			}
		}
	}
	senders.Wait()
	unix.Close(ends[0])
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	if arrived[0] != each || arrived[1] != each {
		t.Errorf("%d of each were sent, %d arrived as they were", each, arrived)
	}
}
