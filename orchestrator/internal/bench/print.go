package bench

import (
	"encoding/json"
	"fmt"
	"io"
	"unicode/utf8"

	"github.com/ctmatrix/ctmatrix/guest/observe"
)

// Text writes a report for people.
func (r *Report) Text(w io.Writer) error {
	p := printer{w: w}
	p.line("%d CPUs, load %.2f, QEMU %s; of several boots the cheapest", r.Host.CPUs, r.Host.Load, r.Host.QEMU)
	if r.Host.Load > float64(r.Host.CPUs)/2 {
		p.line("the host does more than this: wall time, and what two jobs gain, say little")
	}
	for _, k := range r.Kernels {
		p.line("\n%s  %s", k.Label, k.Version)
		if k.Error != "" {
			p.line("  %s", observe.Escape(k.Error))
		}
		p.figures(k.Figures())
		if len(k.Slow) > 0 {
			p.line("  slowest of %d probes", k.Probes)
		}
		for _, s := range k.Slow {
			p.line("    %-32s  %s%s", s.Name, s.Cost, with(s.First, ", the restore in it"))
		}
	}
	p.line("\nall kernels: %d", r.Matrix.Kernels)
	p.figures(r.Matrix.Figures(r.whole()))
	return p.err
}

// whole says that each kernel was asked every probe.
func (r *Report) whole() bool {
	for _, k := range r.Kernels {
		if !k.Whole || k.Error != "" {
			return false
		}
	}
	return len(r.Kernels) > 0
}

// printer writes lines until one cannot be written.
type printer struct {
	w   io.Writer
	err error
}

func (p *printer) line(format string, args ...any) {
	if p.err == nil {
		_, p.err = fmt.Fprintf(p.w, format+"\n", args...)
	}
}

func (p *printer) figures(all []Figure) {
	var name, value, goal int
	for _, f := range all {
		name, value, goal = max(name, width(f.Name)), max(value, width(f.Value)), max(goal, width(f.Goal))
	}
	for _, f := range all {
		if f.Goal == "" {
			p.line("  %-*s  %s", name, f.Name, f.Value)
			continue
		}
		p.line("  %-*s  %-*s  %-*s  %s", name, f.Name, value, f.Value, goal, f.Goal, f.Verdict)
	}
}

func with(is bool, text string) string {
	if is {
		return text
	}
	return ""
}

func width(s string) int { return utf8.RuneCountInString(s) }

// JSON writes a report for programs: what was measured, and the figures made of it.
func (r *Report) JSON(w io.Writer) error {
	type kernel struct {
		Kernel
		Figures []Figure `json:"figures"`
	}
	out := struct {
		Host    Host     `json:"host"`
		Kernels []kernel `json:"kernels"`
		Matrix  Matrix   `json:"matrix"`
		Figures []Figure `json:"figures"`
	}{r.Host, []kernel{}, r.Matrix, r.Matrix.Figures(r.whole())}
	for _, k := range r.Kernels {
		out.Kernels = append(out.Kernels, kernel{k, k.Figures()})
	}
	e := json.NewEncoder(w)
	e.SetIndent("", " ")
	return e.Encode(out)
}
