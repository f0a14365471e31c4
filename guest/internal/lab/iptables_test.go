package lab

import (
	"encoding/binary"
	"testing"
)

// A table is as the kernel walks it (translate_table in ip_tables.c): each hook
// begins at an entry and ends with its policy, entries follow each other to the
// end, and what is in them is as long as they say.
func TestEncodeTable(t *testing.T) {
	number := func(b []byte, at int) int { return int(binary.NativeEndian.Uint32(b[at:])) }
	rules := []XtRule{
		{Hook: HookOutput, Drop: true},
		{Hook: HookPrerouting, Proto: 6, Matches: []Extension{{Name: "conntrack", Revision: 3, Info: make([]byte, 15)}}},
		{Hook: HookPrerouting, Target: &Extension{Name: "CT", Revision: 2, Info: make([]byte, 40)}},
	}
	b := encodeTable("raw", rules)
	if got := string(b[:4]); got != "raw\x00" {
		t.Errorf("table %q", got)
	}
	const hooks = 1<<HookPrerouting | 1<<HookOutput
	if got := number(b, 32); got != hooks {
		t.Errorf("hooks %b, want %b", got, hooks)
	}
	entries := b[replaceLen:]
	if got := number(b, 40); got != len(entries) {
		t.Errorf("%d bytes of entries, there are %d", got, len(entries))
	}
	starts := map[int]bool{}
	for at := 0; at < len(entries); at += nextOffset(entries[at:]) {
		starts[at] = true
		entry := entries[at:]
		if next := nextOffset(entry); next < entryLen || next > len(entry) || next%8 != 0 {
			t.Fatalf("entry at %d is %d bytes long", at, next)
		}
		target := int(binary.NativeEndian.Uint16(entry[88:]))
		if size := int(binary.NativeEndian.Uint16(entry[target:])); target+size != nextOffset(entry) {
			t.Errorf("entry at %d: its target of %d bytes at %d does not end it", at, size, target)
		}
	}
	if got := number(b, 36); got != len(starts) || got != len(rules)+2+1 {
		t.Errorf("%d entries said, %d found, want %d", got, len(starts), len(rules)+2+1)
	}
	for _, hook := range xtTables["raw"] {
		begin, policy := number(b, 44+4*int(hook)), number(b, 64+4*int(hook))
		if !starts[begin] || !starts[policy] || policy < begin {
			t.Errorf("hook %d from %d to %d", hook, begin, policy)
		}
		entry := entries[policy:]
		if got := number(entry, int(binary.NativeEndian.Uint16(entry[88:]))+headLen); int32(got) != -nfAccept-1 {
			t.Errorf("the policy of hook %d is %d", hook, int32(got))
		}
	}
	// A rule without a target goes on to the next.
	first := entries[number(b, 44):]
	if got := number(first, int(binary.NativeEndian.Uint16(first[88:]))+headLen); got != number(b, 44)+nextOffset(first) {
		t.Errorf("the rule goes on at %d", got)
	}
}
