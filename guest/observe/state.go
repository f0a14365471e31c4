package observe

import (
	"errors"
	"fmt"
	"strings"
)

// state is where a record stream stands. accept holds each record to the rules
// and, where it keeps them, moves on.
type state struct {
	limit  Limits
	probes map[string]probeState // nil before hello
	open   string                // probe between begin and end
	rows   map[string]bool       // of the open probe
	nrows  int
	nlogs  int
	nends  int
	done   bool

	captured  captured // of the open probe
	ncaptured int
}

type probeState int

const (
	announced probeState = iota + 1
	begun
)

func (s *state) accept(rec Record) error {
	if n := rec.members(); n != 1 {
		return fmt.Errorf("record has %d members, not one", n)
	}
	switch {
	case s.done:
		return errors.New("record after done")
	case rec.Hello != nil:
		return s.hello(rec.Hello)
	case s.probes == nil:
		return errors.New("first record is not hello")
	case rec.Begin != nil:
		return s.begin(rec.Begin)
	case rec.Row != nil:
		return s.row(rec.Row)
	case rec.Log != nil:
		return s.log(rec.Log)
	case rec.Packet != nil:
		return s.packet(rec.Packet)
	case rec.Step != nil:
		return s.step(rec.Step)
	case rec.End != nil:
		return s.end(rec.End)
	}
	return s.finish(rec.Done)
}

func (r Record) members() int {
	n := 0
	for _, set := range []bool{
		r.Hello != nil, r.Begin != nil, r.Row != nil, r.Log != nil, r.End != nil, r.Done != nil,
		r.Packet != nil, r.Step != nil,
	} {
		if set {
			n++
		}
	}
	return n
}

func (s *state) hello(h *Hello) error {
	switch {
	case s.probes != nil:
		return errors.New("hello again")
	case h.Protocol != Protocol:
		return fmt.Errorf("protocol %d, want %d: agent and host are not of one build", h.Protocol, Protocol)
	case len(h.Modules) > s.limit.Modules:
		return fmt.Errorf("hello names %d modules, more than %d", len(h.Modules), s.limit.Modules)
	case len(h.Probes) > s.limit.Probes:
		return fmt.Errorf("hello names %d probes, more than %d", len(h.Probes), s.limit.Probes)
	}
	if err := checkTexts(h.Release, h.Version, h.Arch); err != nil {
		return fmt.Errorf("hello: %w", err)
	}
	for _, m := range h.Modules {
		if err := m.check(); err != nil {
			return fmt.Errorf("hello: %w", err)
		}
	}
	probes := make(map[string]probeState, len(h.Probes))
	for _, p := range h.Probes {
		if err := checkProbeName(p); err != nil {
			return fmt.Errorf("hello: %w", err)
		}
		if probes[p] != 0 {
			return fmt.Errorf("hello names probe %s twice", p)
		}
		probes[p] = announced
	}
	s.probes = probes
	return nil
}

func (m Module) check() error {
	if m.Name == "" || len(m.Name) > MaxName {
		return fmt.Errorf("module name of %d bytes", len(m.Name))
	}
	switch m.State {
	case ModuleLoaded, ModuleBuiltin, ModuleMissing, ModuleFailed:
	default:
		return fmt.Errorf("module %.40q: unknown state %.40q", m.Name, m.State)
	}
	return checkTexts(m.Note)
}

func (s *state) begin(b *Begin) error {
	switch {
	case s.open != "":
		return fmt.Errorf("begin of %.200q inside probe %s", b.Probe, s.open)
	case s.probes[b.Probe] == 0:
		return fmt.Errorf("begin of %.200q, which hello does not name", b.Probe)
	case s.probes[b.Probe] == begun:
		return fmt.Errorf("begin of %s again", b.Probe)
	}
	s.probes[b.Probe] = begun
	s.open, s.rows, s.captured = b.Probe, map[string]bool{}, captured{}
	return nil
}

func (s *state) row(r *Row) error {
	if s.open == "" {
		return errors.New("row outside a probe")
	}
	if err := r.Check(); err != nil {
		return err
	}
	switch {
	case r.Probe() != s.open:
		return fmt.Errorf("row %s in probe %s", r.Name, s.open)
	case s.rows[r.Name]:
		return fmt.Errorf("row %s twice", r.Name)
	case s.nrows >= s.limit.Rows:
		return fmt.Errorf("more than %d rows", s.limit.Rows)
	}
	s.rows[r.Name] = true
	s.nrows++
	return nil
}

func (s *state) log(l *Log) error {
	switch {
	case s.open == "":
		return errors.New("log line outside a probe")
	case l.Level < 0 || l.Level > 7:
		return fmt.Errorf("log level %d", l.Level)
	case l.AtUS < 0:
		return fmt.Errorf("log line at %d us", l.AtUS)
	case s.nlogs >= s.limit.Logs:
		return fmt.Errorf("more than %d log lines", s.limit.Logs)
	}
	if err := checkTexts(l.Text); err != nil {
		return fmt.Errorf("log: %w", err)
	}
	s.nlogs++
	return nil
}

func (s *state) end(e *End) error {
	switch {
	case s.open == "":
		return fmt.Errorf("end of %.200q, which has not begun", e.Probe)
	case e.Probe != s.open:
		return fmt.Errorf("end of %.200q inside probe %s", e.Probe, s.open)
	case !e.Outcome.Valid():
		return fmt.Errorf("probe %s: unknown outcome %.40q", e.Probe, e.Outcome)
	case e.Outcome != Recorded && len(s.rows) > 0:
		return fmt.Errorf("probe %s is %s and has rows", e.Probe, e.Outcome)
	case e.ElapsedNS < 0:
		return fmt.Errorf("probe %s took %d ns", e.Probe, e.ElapsedNS)
	}
	if err := checkTexts(e.Reason); err != nil {
		return fmt.Errorf("probe %s: %w", e.Probe, err)
	}
	s.open, s.rows = "", nil
	s.nends++
	return nil
}

func (s *state) finish(d *Done) error {
	switch {
	case s.open != "":
		return fmt.Errorf("done inside probe %s", s.open)
	case d.Probes != s.nends:
		return fmt.Errorf("done counts %d probes, %d came", d.Probes, s.nends)
	case d.Rows != s.nrows:
		return fmt.Errorf("done counts %d rows, %d came", d.Rows, s.nrows)
	}
	s.done = true
	return nil
}

// checkTexts bounds free text as values are bounded.
func checkTexts(texts ...string) error {
	for _, t := range texts {
		if len(t) > MaxValue {
			return fmt.Errorf("text of %d bytes, more than %d", len(t), MaxValue)
		}
	}
	return nil
}

func checkProbeName(name string) error {
	if len(name) > MaxName {
		return fmt.Errorf("probe name of %d bytes, more than %d", len(name), MaxName)
	}
	parts := strings.Split(name, "/")
	if len(parts) != 2 {
		return fmt.Errorf("probe name %q is not family/probe", name)
	}
	for _, part := range parts {
		if !partOfName(part) {
			return fmt.Errorf("probe name %q: only a-z, A-Z, 0-9 and -_.+@= may stand in it", name)
		}
	}
	return nil
}
