package lab

import (
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Extension is a match or a target of x_tables, with what the kernel gets to
// know of it: the struct of its header in include/uapi/linux/netfilter/xt_*.h.
type Extension struct {
	Name     string
	Revision uint8
	Info     []byte
}

// XtRule is a rule of a legacy table: matches, and what happens to a packet that
// fulfils all of them.
type XtRule struct {
	Hook    Hook
	Proto   uint8 // of the packet, or any
	Matches []Extension
	Target  *Extension // nil goes on to the next rule
	Drop    bool       // instead of a target
}

// Hook is where in a packet's path a rule of a legacy table hangs; NF_INET_* of
// include/uapi/linux/netfilter.h.
type Hook int

// The hooks.
const (
	HookPrerouting Hook = iota
	HookInput
	HookForward
	HookOutput
	HookPostrouting
)

// xtTables are the tables of x_tables with the hooks that they have.
var xtTables = map[string][]Hook{
	"raw":    {HookPrerouting, HookOutput},
	"mangle": {HookPrerouting, HookInput, HookForward, HookOutput, HookPostrouting},
	"filter": {HookInput, HookForward, HookOutput},
}

// Socket options of include/uapi/linux/netfilter_ipv4/ip_tables.h.
const (
	iptSetReplace = 64
	iptGetInfo    = 64
	iptGetEntries = 65
)

// Iptables speaks to the legacy tables of the calling thread's namespace as
// iptables does.
type Iptables struct{ fd int }

// OpenIptables opens them. That makes no table: Replace does.
func OpenIptables() (*Iptables, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_RAW)
	if err != nil {
		return nil, fmt.Errorf("open a socket for ip_tables: %w", err)
	}
	return &Iptables{fd}, nil
}

// Close ends the connection; tables stay.
func (t *Iptables) Close() error { return unix.Close(t.fd) }

// Replace puts rules into a table in place of what it has. The error is the
// kernel's errno, wrapped, if it refuses them.
func (t *Iptables) Replace(table string, rules ...XtRule) error {
	have, err := t.entries(table)
	if err != nil {
		return err
	}
	blob := encodeTable(table, rules)
	counters := make([]byte, 16*max(have, 1)) // of the rules that go
	const numCounters, countersAt = 84, 88
	binary.NativeEndian.PutUint32(blob[numCounters:], uint32(have))
	binary.NativeEndian.PutUint64(blob[countersAt:], uint64(uintptr(unsafe.Pointer(&counters[0]))))
	err = unix.SetsockoptString(t.fd, unix.SOL_IP, iptSetReplace, string(blob))
	runtime.KeepAlive(counters)
	if err != nil {
		return fmt.Errorf("replace table %s: %w", table, err)
	}
	return nil
}

// entries counts the entries of a table, which has the kernel make it.
func (t *Iptables) entries(table string) (int, error) {
	info, err := t.get(iptGetInfo, table, 84)
	if err != nil {
		return 0, fmt.Errorf("look at table %s: %w", table, err)
	}
	const numEntries = 76
	return int(binary.NativeEndian.Uint32(info[numEntries:])), nil
}

// Packets counts how many packets fulfilled each rule of a table, in the order in
// which Replace was told of them.
func (t *Iptables) Packets(table string, rules ...XtRule) ([]uint64, error) {
	const head = 40 // name and size, before the entries
	blob := encodeTable(table, rules)[replaceLen:]
	buf := make([]byte, head+len(blob))
	binary.NativeEndian.PutUint32(buf[32:], uint32(len(blob)))
	got, err := t.getInto(iptGetEntries, table, buf)
	if err != nil {
		return nil, fmt.Errorf("read counters of table %s: %w", table, err)
	}
	packets := make([]uint64, len(rules))
	entries := got[head:]
	for _, hook := range xtTables[table] {
		for i, r := range rules {
			if r.Hook == hook {
				packets[i] = binary.NativeEndian.Uint64(entries[countersOffset:])
				entries = entries[nextOffset(entries):]
			}
		}
		entries = entries[nextOffset(entries):] // the policy
	}
	return packets, nil
}

func (t *Iptables) get(option int, table string, size int) ([]byte, error) {
	return t.getInto(option, table, make([]byte, size))
}

func (t *Iptables) getInto(option int, table string, buf []byte) ([]byte, error) {
	copy(buf[:32], table)
	size := uint32(len(buf))
	_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(t.fd), unix.SOL_IP, uintptr(option),
		uintptr(unsafe.Pointer(&buf[0])), uintptr(unsafe.Pointer(&size)), 0)
	if errno != 0 {
		return nil, errno
	}
	if int(size) > len(buf) {
		return nil, errors.New("more than was asked for")
	}
	return buf[:size], nil
}

// The layout of struct ipt_replace and ipt_entry on machines of 64 bits.
const (
	replaceLen     = 96
	entryLen       = 112
	countersOffset = 96
	headLen        = 32 // of a match or target
)

// Verdicts of include/uapi/linux/netfilter.h.
const (
	nfDrop   = 0
	nfAccept = 1
)

func nextOffset(entry []byte) int { return int(binary.NativeEndian.Uint16(entry[90:])) }

// encodeTable makes a struct ipt_replace: the rules of each hook behind each
// other, after them the hook's policy, which accepts, and an entry that ends all.
func encodeTable(table string, rules []XtRule) []byte {
	var entries []byte
	b := make([]byte, replaceLen)
	copy(b[:32], table)
	number, hooks := 0, uint32(0)
	for _, hook := range xtTables[table] {
		hooks |= 1 << hook
		binary.NativeEndian.PutUint32(b[44+4*int(hook):], uint32(len(entries)))
		for _, r := range rules {
			if r.Hook == hook {
				entries = append(entries, encodeRule(r, len(entries))...)
				number++
			}
		}
		binary.NativeEndian.PutUint32(b[64+4*int(hook):], uint32(len(entries)))
		entries = append(entries, encodeEntry(0, nil, verdict(nfAccept))...)
		number++
	}
	const stop = 30 // XT_FUNCTION_MAXNAMELEN
	entries = append(entries, encodeEntry(0, nil, extension(Extension{Name: "ERROR", Info: append([]byte("ERROR"), make([]byte, stop-5)...)}))...)
	number++
	binary.NativeEndian.PutUint32(b[32:], hooks)
	binary.NativeEndian.PutUint32(b[36:], uint32(number))
	binary.NativeEndian.PutUint32(b[40:], uint32(len(entries)))
	return append(b, entries...)
}

func encodeRule(r XtRule, at int) []byte {
	var matches []byte
	for _, m := range r.Matches {
		matches = append(matches, extension(m)...)
	}
	switch {
	case r.Drop:
		return encodeEntry(r.Proto, matches, verdict(nfDrop))
	case r.Target != nil:
		return encodeEntry(r.Proto, matches, extension(*r.Target))
	}
	// A verdict that is no less than zero is the offset of the next rule.
	next := at + entryLen + len(matches) + headLen + 8
	return encodeEntry(r.Proto, matches, extension(Extension{Info: binary.NativeEndian.AppendUint32(nil, uint32(next))}))
}

// verdict is the standard target with a netfilter verdict.
func verdict(v int) []byte {
	return extension(Extension{Info: binary.NativeEndian.AppendUint32(nil, uint32(-v-1))})
}

func encodeEntry(proto uint8, matches, target []byte) []byte {
	b := make([]byte, entryLen)
	binary.NativeEndian.PutUint16(b[80:], uint16(proto))
	binary.NativeEndian.PutUint16(b[88:], uint16(entryLen+len(matches)))
	binary.NativeEndian.PutUint16(b[90:], uint16(entryLen+len(matches)+len(target)))
	return append(append(b, matches...), target...)
}

// extension makes a struct xt_entry_match, which is that of a target, too.
func extension(e Extension) []byte {
	size := (headLen + len(e.Info) + 7) &^ 7
	b := make([]byte, size)
	binary.NativeEndian.PutUint16(b, uint16(size))
	copy(b[2:30], e.Name)
	b[31] = e.Revision
	copy(b[headLen:], e.Info)
	return b
}
