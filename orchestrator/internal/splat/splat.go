// Package splat knows by which lines of its log a kernel says that something is
// wrong with itself, and what else such lines tell: whose fault it is, in which
// functions it happened. What those lines are is data: splats.yaml. Everything here
// is pure, and takes any text.
package splat

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// End is what comes of what a line says.
type End string

// The ends.
const (
	Nobody  End = "nobody"  // the kernel goes on
	Kernel  End = "kernel"  // it does not
	Image   End = "image"   // nor does it here, and what it was given as init is at fault
	Memory  End = "memory"  // somebody was killed because there was too little, and it goes on
	Starved End = "starved" // it does not go on, because there was too little memory
)

// Fatal reports whether the kernel does not go on.
func (e End) Fatal() bool { return e == Kernel || e == Image || e == Starved }

// weight orders ends: what comes of a heavier one matters more.
func (e End) weight() int {
	switch {
	case e.Fatal():
		return 2
	case e == Memory:
		return 1
	}
	return 0
}

// Splat is what a kernel said of itself: a line, and those that came with it.
type Splat struct {
	Line  string // the first, without its time
	End   End
	Lines []string // with the first, without times; at most MostLines
}

// Bounds on what is kept.
const (
	MostLines  = 120 // of a splat
	MostSplats = 16  // of a Scanner
)

// stamp is what printk puts before a line: its time, and on some kernels who said it.
var stamp = regexp.MustCompile(`^\[ *[0-9]+\.[0-9]+\](?:\[ *[TC][0-9]+\])? ?`)

// Bare is a line of a console without its time.
func Bare(line string) string { return line[len(stamp.FindString(line)):] }

// judge is the rule that a bare line falls under, or nil.
func (l *list) judge(bare string) *rule {
	i := slices.IndexFunc(l.deny, func(r rule) bool { return r.line.MatchString(bare) })
	if i < 0 || slices.ContainsFunc(l.allow, func(r rule) bool { return r.line.MatchString(bare) }) {
		return nil
	}
	return &l.deny[i]
}

// Scanner finds splats among lines that come one by one. The zero value is one that
// has seen nothing. It is not safe for concurrent use.
type Scanner struct {
	splats []Splat
	open   bool // the last is not over
}

// Line takes a line, of a console or without its time. It returns the splat that
// begins with it, or nil.
//
// What follows the first line belongs to it until the kernel says that its trace is
// over, or MostLines have come. Only a line of a worse kind begins another meanwhile.
func (s *Scanner) Line(line string) *Splat {
	bare := Bare(line)
	r := known.judge(bare)
	if s.open {
		last := &s.splats[len(s.splats)-1]
		if r == nil || r.ends.weight() <= last.End.weight() {
			s.follow(last, bare)
			return nil
		}
	}
	if r == nil {
		return nil
	}
	// One that is fatal is the last, and there is always room for it.
	if len(s.splats) >= MostSplats && (!r.ends.Fatal() || len(s.splats) > MostSplats) {
		s.open = false
		return nil
	}
	s.splats = append(s.splats, Splat{Line: bare, End: r.ends, Lines: []string{bare}})
	s.open = true
	return &s.splats[len(s.splats)-1]
}

func (s *Scanner) follow(last *Splat, bare string) {
	last.Lines = append(last.Lines, bare)
	// The line that only draws one says less than what it announces.
	if len(last.Lines) == 2 && strings.Contains(last.Line, "[ cut here ]") {
		last.Line = bare
		if r := known.judge(bare); r != nil {
			last.End = r.ends
		}
	}
	s.open = len(last.Lines) < MostLines && !strings.HasPrefix(bare, "---[ end trace")
}

// Splats are those that were found, in order: the first MostSplats,
// and the first fatal one.
func (s *Scanner) Splats() []Splat {
	out := slices.Clone(s.splats)
	for i := range out {
		out[i].Lines = slices.Clone(out[i].Lines)
	}
	return out
}

// Scan finds the splats among lines.
func Scan(lines []string) []Splat {
	var s Scanner
	for _, l := range lines {
		s.Line(l)
	}
	return s.splats
}

// frame is a function of a trace: "  do_init_module+0x60/0x230 [nft_redir]". What is
// only lying on the stack begins with a question mark.
var (
	frame = regexp.MustCompile(`^ *([A-Za-z_][A-Za-z0-9_.$]*)\+0x[0-9a-f]+/0x[0-9a-f]+(?: \[[^\]]*\])?$`)
	where = regexp.MustCompile(`^RIP: 0010:(?:\[<[0-9a-f]+>\] )?([A-Za-z_][A-Za-z0-9_.$]*)\+0x`)
	user  = regexp.MustCompile(`^RIP: 0033:`)
	made  = regexp.MustCompile(`\.(isra|constprop|part|cold|llvm)(\.[0-9]+)?`)
)

// functions are those that a trace holds, the innermost first, but for the dull.
func functions(lines []string) []string {
	var all []string
	for _, l := range lines {
		m := where.FindStringSubmatch(l)
		if m == nil {
			m = frame.FindStringSubmatch(l)
		}
		if m == nil {
			continue
		}
		name := made.ReplaceAllString(m[1], "")
		if known.dull.match(name) || len(all) > 0 && all[len(all)-1] == name {
			continue
		}
		all = append(all, name)
	}
	return all
}

// fingerprintOf is how many functions a fingerprint has.
const fingerprintOf = 3

// Fingerprint tells one crash from another: the first functions of its trace, the
// innermost first, "a ← b ← c". It is "" where there is no trace.
func (s *Splat) Fingerprint() string {
	f := functions(s.Lines)
	return strings.Join(f[:min(len(f), fingerprintOf)], " ← ")
}

// String is the first line, and where it happened.
func (s *Splat) String() string {
	if f := s.Fingerprint(); f != "" {
		return s.Line + ", in " + f
	}
	return s.Line
}

// Excerpt are the telling ones of its lines, at most so many.
func (s *Splat) Excerpt(most int) []string {
	var out []string
	for _, l := range s.Lines {
		noise := slices.ContainsFunc(known.noise, func(n *regexp.Regexp) bool { return n.MatchString(l) })
		if m := frame.FindStringSubmatch(l); m != nil && known.dull.match(made.ReplaceAllString(m[1], "")) {
			noise = true
		}
		if len(out) < most && !noise {
			out = append(out, l)
		}
	}
	return out
}

// Place is where a CPU was that something interrupted.
type Place string

// The places.
const (
	InUser   Place = "user"   // in a program
	Idle     Place = "idle"   // with nothing to do
	InKernel Place = "kernel" // in the kernel, at work
	Nowhere  Place = "nowhere"
)

// Place is where the CPU was whose trace this is.
func (s *Splat) Place() Place {
	f := functions(s.Lines)
	switch {
	case slices.ContainsFunc(f, known.idle.match):
		return Idle
	case len(f) > 0:
		return InKernel
	case slices.ContainsFunc(s.Lines, user.MatchString):
		return InUser
	}
	return Nowhere
}

// globs are names, of which a * at the end or inside stands for anything.
type globs []*regexp.Regexp

func (g globs) match(name string) bool {
	return slices.ContainsFunc(g, func(r *regexp.Regexp) bool { return r.MatchString(name) })
}

func newGlobs(names []string) (globs, error) {
	var out globs
	for _, n := range names {
		r, err := regexp.Compile("^" + strings.ReplaceAll(regexp.QuoteMeta(n), `\*`, ".*") + "$")
		if err != nil {
			return nil, fmt.Errorf("name %q: %w", n, err)
		}
		out = append(out, r)
	}
	return out, nil
}
