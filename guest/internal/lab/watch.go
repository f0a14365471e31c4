package lab

import (
	"errors"

	"golang.org/x/sys/unix"
)

// Watcher is told what passes a link, on the goroutine that has it pass. Data is
// the packet from its IP header on, frame all that was on the wire; neither may
// be changed, and frame not kept.
type Watcher interface {
	// Sending comes before a packet is put into the link, and Sent after it, with
	// what kept it from being.
	Sending(l *Link, frame, data []byte)
	Sent(l *Link, err error)
	// Out comes when a packet is read that the box sent.
	Out(l *Link, frame []byte)
}

// Watch has a watcher told of all that passes the box's links from now on; nil
// ends that.
func (b *Box) Watch(w Watcher) {
	for _, l := range b.Links() {
		l.watcher = w
	}
}

// Links are the links of the box.
func (b *Box) Links() []*Link {
	if b.Far == nil {
		return []*Link{b.Near}
	}
	return []*Link{b.Near, b.Far}
}

// IsEthernet reports whether what passes the link has a header of Ethernet.
func (l *Link) IsEthernet() bool { return l.ether != nil }

// Drain reads what the box has sent so far, as a fence does, and waits for
// nothing: Took returns it after the next fence.
func (l *Link) Drain() error {
	frame := l.room()
	for {
		n, err := unix.Read(l.fd, frame)
		switch {
		case err == nil:
			l.came(frame[:n])
		case errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.EAGAIN):
			return nil
		default:
			return err
		}
	}
}

// Payload is the packet in a frame that a Watcher was told of, from its IP header
// on.
func (l *Link) Payload(frame []byte) []byte {
	if l.ether == nil {
		return frame
	}
	_, data := payload(frame)
	return data
}

// FreshTick returns when a quarter of a tick or more of the kernel's timer is ahead, so that
// what is given a time and read soon after is read in the same one. It never waits
// as long as a tick.
func FreshTick() {
	for end := Now() + tick(); Now()-clock(unix.CLOCK_MONOTONIC_COARSE) > tick()*3/4 && Now() < end; {
	}
}
