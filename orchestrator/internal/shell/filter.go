package shell

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"strings"
)

// filter is what stands between a guest and the user's terminal. It passes on
// what is written to it at once, but for what a terminal would act on beyond its
// own screen or answer with more than a position: strings of control (titles,
// the clipboard, downloads), reports of the title, and printing. And it knows
// which modes the guest has left the terminal in, so that they can be undone when
// the guest is gone.
//
// The sequences are those of ECMA-48 and of xterm's ctlseqs.
type filter struct {
	w     io.Writer
	state filterState
	more  int    // bytes that go on with the character
	seq   []byte // of the sequence that is not complete yet
	out   []byte

	modes  map[int]bool // private modes that differ from how they are at first
	keypad bool         // application mode
	region bool         // a scrolling region is set
	colour bool         // the last rendition was not the default
}

type filterState int

const (
	ground     filterState = iota
	escape                 // ESC has come
	control                // ESC [ and parameters
	skipped                // inside a string
	skippedEsc             // ESC inside a string
	lead                   // the first byte of a C1 control in UTF-8
	skippedC2              // the same inside a string
)

// maxSequence is more than any sequence of use has.
const maxSequence = 128

// modesOff are private modes that are off in a terminal that nobody has changed,
// and modesOn those that are on: cursor keys, the cursor itself, mice, focus, the
// alternate screen, pasting.
var (
	modesOff = []int{1, 5, 9, 47, 1000, 1001, 1002, 1003, 1004, 1005, 1006, 1015, 1016, 1047, 1049, 2004}
	modesOn  = []int{7, 25}
)

func newFilter(w io.Writer) *filter { return &filter{w: w, modes: map[int]bool{}} }

// Write implements io.Writer. Its error is that of the writer below.
func (f *filter) Write(p []byte) (int, error) {
	f.out = f.out[:0]
	for _, b := range p {
		f.take(b)
	}
	if _, err := f.w.Write(f.out); err != nil {
		return 0, err
	}
	return len(p), nil
}

const (
	bel   = 0x07
	can   = 0x18
	sub   = 0x1a
	esc   = 0x1b
	c1    = 0xc2 // begins U+0080 to U+009F, the C1 controls, in UTF-8
	lastC = 0x9f
	st8   = 0x9c
)

func (f *filter) take(b byte) {
	switch f.state {
	case ground:
		f.takeGround(b)
	case lead:
		f.state = ground
		switch {
		case b < 0x80 || b >= 0xc0: // the character is not whole: nothing is left of it
			f.takeGround(b)
		case b > lastC:
			f.out = append(f.out, c1, b)
		case isString(b - 0x40):
			f.state = skipped
		}
	case escape:
		f.takeEscape(b)
	case control:
		f.takeControl(b)
	case skipped:
		f.takeSkipped(b)
	case skippedC2:
		f.state = skipped
		if b == st8 {
			f.state = ground
		} else {
			f.takeSkipped(b)
		}
	case skippedEsc:
		f.state = ground
		if b != '\\' {
			f.seq = append(f.seq[:0], esc)
			f.takeEscape(b)
		}
	}
}

// takeGround passes characters on. What begins none and goes on with none is
// dropped: C1 controls to a terminal that takes bytes, and the second half of one to
// a terminal that has seen the first.
func (f *filter) takeGround(b byte) {
	more := f.more
	f.more = 0
	switch {
	case b == esc:
		f.seq, f.state = append(f.seq[:0], esc), escape
	case b == c1:
		f.state = lead
	case b < 0x80:
		f.out = append(f.out, b)
	case b < 0xc0 && more > 0:
		f.out, f.more = append(f.out, b), more-1
	case b > c1 && b < 0xf5:
		f.out, f.more = append(f.out, b), 1
		if b >= 0xe0 {
			f.more = 2
		}
		if b >= 0xf0 {
			f.more = 3
		}
	}
}

// isString reports whether ESC and this byte begin a string: DCS, SOS, OSC, PM,
// APC.
func isString(b byte) bool { return bytes.IndexByte([]byte("PX]^_"), b) >= 0 }

func (f *filter) takeEscape(b byte) {
	switch {
	case isString(b):
		f.state = skipped
	case b == '[':
		f.seq, f.state = append(f.seq, b), control
	case b == esc:
	case b >= 0x80: // no terminal takes that for a sequence
		f.state = ground
		f.takeGround(b)
	default:
		if b == '=' || b == '>' {
			f.keypad = b == '='
		}
		f.out = append(append(f.out, f.seq...), b)
		f.state = ground
	}
}

func (f *filter) takeControl(b byte) {
	switch {
	case b == esc:
		f.seq, f.state = append(f.seq[:0], esc), escape
	case b == can || b == sub:
		f.state = ground
	case b < 0x20: // acts as if it stood before the sequence
		f.out = append(f.out, b)
	case b >= 0x20 && b < 0x40 && len(f.seq) < maxSequence:
		f.seq = append(f.seq, b)
	case b >= 0x40 && b < 0x7f:
		f.state = ground
		f.end(string(f.seq[2:]), b)
	default: // too long, or not one
		f.state = ground
	}
}

func (f *filter) takeSkipped(b byte) {
	switch b {
	case bel, can, sub:
		f.state = ground
	case esc:
		f.state = skippedEsc
	case c1:
		f.state = skippedC2
	}
}

// end passes a control sequence on, and notes what it changes.
func (f *filter) end(params string, final byte) {
	switch final {
	case 't', 'i': // reports of the title, printing
		return
	case 'h', 'l':
		if list, ok := strings.CutPrefix(params, "?"); ok {
			f.mode(list, final == 'h')
		}
	case 'r':
		if !strings.HasPrefix(params, "?") {
			f.region = params != ""
		}
	case 'm':
		f.colour = strings.Trim(params, "0;") != ""
	}
	f.out = append(append(f.out, f.seq...), final)
}

func (f *filter) mode(list string, on bool) {
	for word := range strings.SplitSeq(list, ";") {
		var n int
		if _, err := fmt.Sscanf(word, "%d", &n); err != nil {
			continue
		}
		if off := slices.Contains(modesOff, n); off || slices.Contains(modesOn, n) {
			if f.modes[n] = on == off; !f.modes[n] {
				delete(f.modes, n)
			}
		}
	}
}

// undo is what brings the terminal back to how it was: "" if it is.
func (f *filter) undo() string {
	var b strings.Builder
	if f.region {
		b.WriteString("\x1b7\x1b[r\x1b8") // which would move the cursor
	}
	for _, n := range modesOff {
		if f.modes[n] {
			fmt.Fprintf(&b, "\x1b[?%dl", n)
		}
	}
	for _, n := range modesOn {
		if f.modes[n] {
			fmt.Fprintf(&b, "\x1b[?%dh", n)
		}
	}
	if f.keypad {
		b.WriteString("\x1b>")
	}
	if f.colour {
		b.WriteString("\x1b[m")
	}
	return b.String()
}
