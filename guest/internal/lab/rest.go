package lab

import (
	"errors"
	"fmt"

	"github.com/vishvananda/netlink"

	"github.com/ctmatrix/ctmatrix/guest/internal/kfile"
)

// Rest takes everything back that was done in the box since it was made, but for
// its links: those stay up until Close, since making and removing them is a third
// of what a box costs. Rouse makes it ready again. The calling thread must be in
// the box's namespace.
func (b *Box) Rest() error {
	errs := []error{b.Rules.Clear()}
	if len(b.devices) > 0 {
		b.worn = true
	}
	errs = append(append(errs, b.removeDevices()...), b.restore()...)
	err := errors.Join(errs...)
	b.worn = b.worn || err != nil
	return err
}

// Rouse has a box that rests as NewBox would make it. What the kernel learned of the
// routes of its links, an MTU or a better way, goes with those; what came out
// meanwhile is nobody's.
func (b *Box) Rouse() error {
	err := b.rouse()
	b.worn = b.worn || err != nil
	return err
}

func (b *Box) rouse() error {
	if err := b.Rules.renew(); err != nil {
		return err
	}
	var batch routeBatch
	for _, l := range b.Links() {
		for _, prefix := range b.behind(l) {
			batch.unroute(l.Name, l.index, prefix)
			batch.route(l.Name, l.index, prefix)
		}
	}
	if err := batch.do(); err != nil {
		return err
	}
	for _, l := range b.Links() {
		if err := l.Fence(); errors.Is(err, ErrFence) {
			return err
		}
		l.Took()
	}
	return b.forward()
}

// Path is the box's.
func (b *Box) Path() Path { return b.path }

// Worn reports whether there is something about the box that Rest has not taken
// back: it goes with the links, for which the box must be closed.
func (b *Box) Worn() bool {
	for _, l := range b.Links() {
		if l.worn {
			return true
		}
	}
	return b.worn
}

// SetMTU changes the most bytes that a packet on the link may have.
func (l *Link) SetMTU(bytes int) error {
	l.worn = true // a small one takes IPv6 from the link, and what was set of that
	dev, err := netlink.LinkByName(l.Name)
	if err != nil {
		return fmt.Errorf("find link %s: %w", l.Name, err)
	}
	if err := netlink.LinkSetMTU(dev, bytes); err != nil {
		return fmt.Errorf("set MTU of %s: %w", l.Name, err)
	}
	return nil
}

// Set writes a sysctl of the link: "send_redirects" of "ipv4". It goes with the link.
func (l *Link) Set(family, name, value string) error {
	l.worn = true
	path := "/proc/sys/net/" + family + "/conf/" + l.Name + "/" + name
	if err := kfile.Write(path, value); err != nil {
		return fmt.Errorf("set %s of link %s to %s: %w", name, l.Name, value, err)
	}
	return nil
}
