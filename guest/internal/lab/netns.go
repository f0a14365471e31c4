package lab

import (
	"fmt"
	"runtime"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// InChild runs f on a thread of its own in a new network namespace whose
// loopback is up, and waits for it. The namespace goes when f has closed what
// it opened there; the thread is thrown away, since nothing can vouch for it.
func InChild(f func() error) error {
	return onThread(func() error {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("make network namespace: %w", err)
		}
		lo, err := netlink.LinkByName("lo")
		if err != nil {
			return fmt.Errorf("find loopback: %w", err)
		}
		if err := netlink.LinkSetUp(lo); err != nil {
			return fmt.Errorf("set loopback up: %w", err)
		}
		return f()
	})
}

// InInitial runs f on a thread of its own in the namespace the agent was
// started in, and waits for it.
func InInitial(f func() error) error { return onThread(f) }

func onThread(f func() error) error {
	done := make(chan error, 1)
	go func() {
		// Never unlocked: the thread ends with the goroutine.
		runtime.LockOSThread()
		done <- f()
	}()
	return <-done
}
