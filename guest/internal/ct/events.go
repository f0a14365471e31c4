package ct

import (
	"errors"
	"fmt"
	"sync"
	"unsafe"

	"github.com/mdlayher/netlink"
	"github.com/ti-mo/conntrack"
	"golang.org/x/sys/unix"
)

// Events listens to the conntrack events of a namespace. The kernel puts an
// event of the packet path into the socket's queue before the packet goes on,
// so once a packet is known to be through, its events can be taken without
// waiting: that is why this reads the socket itself and never blocks.
type Events struct {
	fd int
}

// eventBuffer holds some thousand events. An overrun is reported, not hidden.
const eventBuffer = 1 << 20

// Listen subscribes to NEW, UPDATE and DESTROY in the calling thread's
// namespace.
func Listen() (*Events, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_NETFILTER)
	if err != nil {
		return nil, fmt.Errorf("open event socket: %w", err)
	}
	groups := uint32(1<<(unix.NFNLGRP_CONNTRACK_NEW-1) | 1<<(unix.NFNLGRP_CONNTRACK_UPDATE-1) | 1<<(unix.NFNLGRP_CONNTRACK_DESTROY-1))
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, eventBuffer); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("size event socket: %w", err)
	}
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: groups}); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("subscribe to events: %w", err)
	}
	return &Events{fd}, nil
}

// Close ends the subscription.
func (e *Events) Close() error { return unix.Close(e.fd) }

// Event is one thing that happened to an entry.
type Event struct {
	Type  string // "new", "update" or "destroy"
	Entry Entry
}

// eventBuffers are those that were read into before: a new one must be cleared.
var eventBuffers = sync.Pool{New: func() any { return new([1 << 16]byte) }}

// Take returns the events queued so far, oldest first.
func (e *Events) Take() ([]Event, error) {
	var out []Event
	buf := eventBuffers.Get().(*[1 << 16]byte)
	defer eventBuffers.Put(buf)
	for {
		n, _, err := unix.Recvfrom(e.fd, buf[:], unix.MSG_DONTWAIT)
		if errors.Is(err, unix.EAGAIN) {
			return out, nil
		}
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return out, fmt.Errorf("receive events: %w", err)
		}
		got, err := decode(buf[:n])
		if err != nil {
			return out, err
		}
		out = append(out, got...)
	}
}

func decode(b []byte) ([]Event, error) {
	var out []Event
	for len(b) >= unix.SizeofNlMsghdr {
		size := int(*(*uint32)(unsafe.Pointer(&b[0])))
		if size < unix.SizeofNlMsghdr || size > len(b) {
			return out, fmt.Errorf("event message claims %d of %d bytes", size, len(b))
		}
		var msg netlink.Message
		if err := msg.UnmarshalBinary(append([]byte(nil), b[:size]...)); err != nil {
			return out, fmt.Errorf("decode event message: %w", err)
		}
		var ev conntrack.Event
		if err := ev.Unmarshal(msg); err != nil {
			return out, fmt.Errorf("decode event: %w", err)
		}
		if ev.Flow != nil {
			out = append(out, Event{Type: eventType(ev), Entry: entry(ev.Flow)})
		}
		b = b[min((size+3)&^3, len(b)):]
	}
	return out, nil
}

func eventType(ev conntrack.Event) string {
	switch ev.Type {
	case conntrack.EventNew:
		return "new"
	case conntrack.EventUpdate:
		return "update"
	case conntrack.EventDestroy:
		return "destroy"
	}
	return fmt.Sprintf("type-%d", ev.Type)
}
