package lab

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/ctmatrix/ctmatrix/guest/internal/kfile"
)

// where is a namespace in which a sysctl is read or written.
type where int

const (
	here    where = iota // the calling thread's namespace
	initial              // the one the agent was started in
)

// ReadSysctl reads a sysctl by its name, "net.netfilter.nf_conntrack_max", in
// the calling thread's namespace. A kernel that lacks it answers fs.ErrNotExist.
func ReadSysctl(name string) (string, error) { return here.read(name) }

// WriteSysctl writes a sysctl in the calling thread's namespace and leaves it
// so. The error is the kernel's.
func WriteSysctl(name, value string) error { return here.write(name, value) }

// SetSysctl writes a sysctl until the box is closed. One that only the initial
// namespace may write, because it holds for all of them, is written there.
func (b *Box) SetSysctl(name, value string) error {
	place := here
	err := b.set(place, name, value)
	if errors.Is(err, fs.ErrPermission) || errors.Is(err, fs.ErrNotExist) {
		place = initial
		err = b.set(place, name, value)
	}
	return err
}

func (b *Box) set(place where, name, value string) error {
	old, err := place.read(name)
	if err != nil {
		return fmt.Errorf("read sysctl %s: %w", name, err)
	}
	if err := place.write(name, value); err != nil {
		return fmt.Errorf("set sysctl %s to %s: %w", name, value, err)
	}
	b.sysctls = append(b.sysctls, restore{name, old, place})
	return nil
}

func sysctlPath(name string) string {
	return "/proc/sys/" + strings.ReplaceAll(name, ".", "/")
}

// The kernel picks the namespace of /proc/sys/net by the thread that opens the
// file (net_ctl_header_lookup in net/sysctl_net.c).

func (w where) read(name string) (value string, err error) {
	w.do(func() {
		var b []byte
		b, err = kfile.Read(sysctlPath(name))
		value = strings.TrimSpace(string(b))
	})
	return value, err
}

func (w where) write(name, value string) (err error) {
	if path := strings.ReplaceAll(name, ".", "/"); !watches(path) {
		return fmt.Errorf("write sysctl %s: nobody would notice if it stayed so: it is not among lab's sysctlFiles", name)
	}
	w.do(func() { err = kfile.Write(sysctlPath(name), value) })
	return err
}

// do runs f here, or on a thread that never left the initial namespace: the
// runtime starts those from one that no goroutine was ever locked to.
func (w where) do(f func()) {
	if w == here {
		f()
		return
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	<-done
}
