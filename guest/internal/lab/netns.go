package lab

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"

	"golang.org/x/sys/unix"
)

// InChild runs f on a thread of its own in a new network namespace whose
// loopback is up, and waits for it. The thread is thrown away, since nothing can
// vouch for it. The namespace goes some time after f has closed what it opened
// there: awaitChildren knows when.
func InChild(f func() error) error {
	return onThread(func() error {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("make network namespace: %w", err)
		}
		if err := children.born(); err != nil {
			return err
		}
		var batch routeBatch
		batch.up("lo", loopback)
		if err := batch.do(); err != nil {
			return err
		}
		return f()
	})
}

// loopback is the number of lo, the first link of every namespace
// (LOOPBACK_IFINDEX in include/net/flow.h).
const loopback = 1

// InInitial runs f on a thread of its own in the namespace the agent was
// started in, and waits for it.
func InInitial(f func() error) error { return onThread(f) }

func onThread(f func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		if unix.Gettid() == unix.Getpid() {
			// The process's first thread does not end with its goroutine: it
			// would stay in the namespace for ever. It waits for another.
			done <- onThread(f)
			runtime.UnlockOSThread()
			return
		}
		// Never unlocked: the thread ends with the goroutine.
		done <- f()
	}()
	return <-done
}

// children are the child namespaces that may not be gone yet.
var children nursery

// nursery knows each child namespace by an open sysctl of its own. A file of
// sysctl does not hold the namespace, and answers ENOENT once the kernel has
// taken the sysctl away. That of net.core goes after everything that modules and
// IP had in the namespace: cleanup_net in net/core/net_namespace.c undoes in the
// reverse order of registration, which sysctl_core_init did before them. The
// kernel does all that in the background.
type nursery struct {
	mu    sync.Mutex
	alive []*watched
}

func (n *nursery) born() error {
	f, err := watch("net.core.somaxconn", "/proc/sys/net/core/somaxconn")
	if err != nil {
		return fmt.Errorf("watch network namespace: %w", err)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.alive = append(n.alive, f)
	return nil
}

// buried closes the files of namespaces that are gone and returns how many are
// not.
func (n *nursery) buried() (int, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	var errs []error
	n.alive = slices.DeleteFunc(n.alive, func(f *watched) bool {
		err := f.read()
		if err == nil {
			return false
		}
		if errors.Is(err, unix.ENOENT) {
			err = nil
		}
		errs = append(errs, err)
		f.close()
		return true
	})
	return len(n.alive), errors.Join(errs...)
}

// restTicks is how long a wait for a namespace rests: it takes some grace
// periods to go, of a few ticks each.
const restTicks = 4

// awaitChildren waits until child namespaces are gone, and returns how many the
// kernel keeps: something still refers to those.
func awaitChildren() (int, error) {
	for range settleTicks / restTicks {
		left, err := children.buried()
		if left == 0 || err != nil {
			return left, err
		}
		if err := PassTicks(restTicks); err != nil {
			return left, err
		}
	}
	return children.buried()
}
