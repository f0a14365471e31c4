package lab

import (
	"errors"
	"fmt"

	"github.com/google/nftables"
	"golang.org/x/sys/unix"

	"github.com/ctmatrix/ctmatrix/guest/internal/kfile"
)

// HoldHooks hangs an empty chain in every hook of IPv4 and IPv6, in a network
// namespace of its own that stays for as long as the agent does. Once is enough.
//
// The kernel patches its code each time that the first hook function of a place
// comes, in whatever namespace, and that the last one goes (nf_hooks_needed in
// net/netfilter/core.c): some hundred patches a probe, and as many times all that
// the emulated CPU knew of memory is forgotten. Which namespace has hooks is looked
// up for each packet either way.
//
// It is for speed alone: a kernel without nf_tables goes without.
func HoldHooks() error {
	if hooksHeld {
		return nil
	}
	err := onThread(func() error {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("make network namespace: %w", err)
		}
		if err := hangChains(); err != nil {
			return err
		}
		fd, err := Namespace()
		if err != nil {
			return err
		}
		_, err = kfile.PutAside(fd) // for good
		return err
	})
	if err != nil {
		return fmt.Errorf("hold hooks: %w", err)
	}
	hooksHeld = true
	return nil
}

var hooksHeld bool

func hangChains() error {
	conn, err := nftables.New(nftables.AsLasting())
	if err != nil {
		return fmt.Errorf("open nf_tables netlink: %w", err)
	}
	table := conn.AddTable(&nftables.Table{Name: "held", Family: nftables.TableFamilyINet})
	for _, h := range []struct {
		name string
		hook *nftables.ChainHook
	}{
		{"prerouting", nftables.ChainHookPrerouting}, {"input", nftables.ChainHookInput}, {"forward", nftables.ChainHookForward},
		{"output", nftables.ChainHookOutput}, {"postrouting", nftables.ChainHookPostrouting},
	} {
		conn.AddChain(&nftables.Chain{Name: h.name, Table: table, Type: nftables.ChainTypeFilter, Hooknum: h.hook, Priority: nftables.ChainPriorityFilter})
	}
	err = conn.Flush()
	// The kernel lacks nf_tables, or chains for both families.
	if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.ENOENT) || errors.Is(err, unix.EINVAL) {
		err = nil
	}
	return errors.Join(err, conn.CloseLasting())
}
