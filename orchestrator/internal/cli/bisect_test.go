package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ctmatrix/ctmatrix/guest/observe"
	"github.com/ctmatrix/ctmatrix/images/kernel"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/bisect"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/matrix"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/render"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/results"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/sched"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/splat"
)

// answers are what kernels answer to the row a/b/s.n, by version: "gone" cannot be
// fetched, "dead" does not boot, "unsupported" lacks what the probe needs, "absent"
// records another row, "hang" answers nothing until it is stopped.
type answers struct {
	modules string // an empty directory
	by      map[string]string

	mu     sync.Mutex
	asked  []string
	hangs  func() // called when a guest hangs
	atOnce int
	first  chan struct{} // closed with the second guest; the first waits for it, where there is one
}

func (a *answers) Fetch(_ context.Context, c kernel.Candidate) (*kernel.Kernel, error) {
	if a.by[c.Version] == "gone" {
		return nil, fmt.Errorf("%s: %w", c.Ref, kernel.ErrGone)
	}
	return &kernel.Kernel{Candidate: c, Image: c.Version, ModulesDir: a.modules, Digest: "digest of " + c.Version}, nil
}

func (*answers) Build() (version, build string) { return "7.2", "made up" }

func (a *answers) Describe(context.Context, matrix.Guest) (sched.Machine, error) {
	return sched.Machine{QEMU: "7.2", Machine: "q35", Accel: "tcg"}, nil
}

func (a *answers) Boot(_ context.Context, image sched.Image) (sched.Guest, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.asked = append(a.asked, image.Kernel)
	if a.by[image.Kernel] == "dead" {
		return nil, errors.New("no QEMU")
	}
	a.atOnce++
	if a.first != nil && len(a.asked) == 2 {
		close(a.first)
	}
	return &answerer{answers: a, version: image.Kernel, value: a.by[image.Kernel]}, nil
}

// answerer is the guest of one kernel.
type answerer struct {
	*answers
	version, value string
}

func (g *answerer) Exec(ctx context.Context, argv []string, stdout, _ io.Writer) error {
	if want := []string{"/init", "run", "--probe", "a/b"}; !slices.Equal(argv, want) {
		return fmt.Errorf("ran %q, want %q", argv, want)
	}
	if g.value == "hang" {
		g.hangs()
		<-ctx.Done()
		return ctx.Err()
	}
	w := observe.NewWriter(stdout)
	rows := 1
	end := &observe.End{Probe: "a/b", Outcome: observe.Recorded}
	row := &observe.Row{Name: "a/b/s.n", Kind: observe.Count, Value: g.value}
	switch g.value {
	case "unsupported":
		rows, end.Outcome, end.Reason = 0, observe.Unsupported, "no module x"
	case "absent":
		row.Name = "a/b/other.n"
	}
	records := []observe.Record{
		{Hello: &observe.Hello{Protocol: observe.Protocol, Release: g.version + "-cloud", Probes: []string{"a/b"}}},
		{Begin: &observe.Begin{Probe: "a/b"}}, {Row: row}, {End: end}, {Done: &observe.Done{Probes: 1, Rows: rows}},
	}
	if rows == 0 {
		records = slices.Delete(records, 2, 3)
	}
	for _, r := range records {
		if err := w.Write(r); err != nil {
			return err
		}
	}
	return nil
}

func (g *answerer) Stop(context.Context) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.atOnce--
	return nil
}

func (g *answerer) Ready(ctx context.Context) error {
	if g.first == nil {
		return nil
	}
	select {
	case <-g.first:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (g *answerer) Wait(context.Context) error      { return errors.New("still there") }
func (g *answerer) Tail() []string                  { return nil }
func (g *answerer) Came() string                    { return "boot" }
func (g *answerer) Splats() []splat.Splat           { return nil }
func (g *answerer) Reset() bool                     { return false }
func (g *answerer) Interrupt(context.Context) error { return nil }
func (g *answerer) Within(ctx context.Context, _ time.Duration) (context.Context, context.CancelFunc) {
	return context.WithCancel(ctx)
}
func (g *answerer) Args() []string { return nil }

// chronicle has one changelog for every package but 6.1.5-1.
type chronicle struct{}

func (chronicle) Changelog(ctx context.Context, c kernel.Candidate) ([]byte, error) {
	if c.Version == "6.1.5-1" {
		return nil, kernel.ErrNoChangelog
	}
	return []byte("linux (" + c.Version + ") stable; urgency=high\n\n  * netfilter: changed\n  * mm: as well\n"), nil
}

// bisectOf are kernels "6.1.1-1" and so on with a value each, where | begins the
// next series.
func bisectOf(t *testing.T, row, values string, asJSON bool) (*bisection, *answers, *bytes.Buffer) {
	t.Helper()
	fake := &answers{modules: t.TempDir(), by: map[string]string{}}
	var candidates []kernel.Candidate
	series, point := 1, 0
	for _, v := range strings.Fields(values) {
		if v == "|" {
			series, point = series+1, 0
			continue
		}
		point++
		upstream := fmt.Sprintf("6.%d.%d", series, point)
		c := kernel.Candidate{
			Source: kernel.SchemeDebian, Ref: "debian:" + upstream + "-1", Version: upstream + "-1", Upstream: upstream,
			Series: fmt.Sprintf("6.%d", series), Release: upstream + "-1-cloud", Flavour: "cloud", Arch: "amd64",
		}
		candidates = append(candidates, c)
		fake.by[c.Version] = v
	}
	var stdout, stderr bytes.Buffer
	a := &app{stdout: &stdout, stderr: &stderr, width: 80}
	out, err := results.Create(t.TempDir(), "run", results.Plan{Probes: []observe.Head{{Name: "a/b"}}})
	if err != nil {
		t.Fatal(err)
	}
	c := &matrix.Config{Guest: matrix.Guest{Memory: "256M", CPUs: 1, Clock: "virtual"}}
	return &bisection{
		app: a, bars: a.bars(), json: asJSON, changelogs: chronicle{}, out: out, head: observe.Head{Name: "a/b"},
		scheduler: &sched.Scheduler{
			Kernels: fake, Booter: fake, Jobs: 2, Agent: []byte("agent"), Selected: []string{"a/b"}, ImageDir: t.TempDir(),
		},
		cells:  cellsOf(c, candidates, []matrix.Variant{{Name: matrix.DefaultVariant}}, 1),
		report: &bisect.Report{Row: row, Search: bisect.New(bisectKernels(candidates), false)},
	}, fake, &stdout
}

func statusIn(err error) int {
	var e exit
	switch {
	case err == nil:
		return ExitSame
	case errors.As(err, &e):
		return e.status
	case errors.As(err, &usage{}):
		return ExitUsage
	}
	return ExitFailed
}

func TestBisection(t *testing.T) {
	for _, tt := range []struct {
		name, row, values string
		status            int
		asked             int // guests that were started
		want              []string
	}{
		{"inside a series", "a/b/s.n", "1 1 1 1 1 2 2 2", ExitChanged, 5, []string{
			"1  6.1.1-1  1  ", "inside 6.1.y, between 6.1.5-1 and 6.1.6-1\n", "linux (6.1.6-1) stable\n    * netfilter: changed\n", "1 other change left out",
			"5 of 8 kernels asked · 1 change · ",
		}},
		{"no changelog", "a/b/s.n", "1 1 1 1 2 2", ExitChanged, 5, []string{"no changelog of 6.1.5-1: no changelog\n"}},
		{"the same at both ends", "a/b/s.n", "1 2 2 1", ExitSame, 2, []string{"The value is the same on 6.1.1-1 and 6.1.4-1: 1."}},
		{"kernels that cannot be asked", "a/b/s.n", "gone 1 dead gone 2 dead", ExitChanged, 4, []string{
			"inside 6.1.y, between 6.1.2-1 and 6.1.5-1\n", "skipped: debian:6.1.1-1: package has gone from the mirror",
			"6.1.3-1: no QEMU", "6.1.4-1: debian:6.1.4-1: package has gone", "6.1.2-1 stands for it",
		}},
		{"no kernel can be asked", "a/b/s.n", "gone dead gone", ExitFailed, 1, []string{"Undecided"}},
		{"between series", "a/b/s.n", "1 1 1 | 2 2 2", ExitChanged, 4, []string{"between 6.1.y and 6.2.y\n"}},
		{"the outcome of a probe", "a/b", "unsupported unsupported 1 2", ExitChanged, 4, []string{
			"inside 6.1.y, between 6.1.2-1 and 6.1.3-1\n", "unsupported: no module x\n", "recorded\n",
		}},
		{"a row of an unsupported probe", "a/b/s.n", "unsupported 1", ExitChanged, 2, []string{"unsupported: no module x\n"}},
		{"a row that one kernel lacks", "a/b/s.n", "1 absent 1 2", ExitChanged, 4, []string{"skipped: absent: recorded without the row"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b, fake, stdout := bisectOf(t, tt.row, tt.values, false)
			if got := statusIn(b.carryOut(t.Context(), time.Now())); got != tt.status {
				t.Errorf("status %d, want %d", got, tt.status)
			}
			for _, w := range tt.want {
				if !strings.Contains(stdout.String(), w) {
					t.Errorf("no %q", w)
				}
			}
			if len(fake.asked) != tt.asked {
				t.Errorf("started %d guests %q, want %d", len(fake.asked), fake.asked, tt.asked)
			}
			if t.Failed() {
				t.Log("\n" + stdout.String())
			}
		})
	}
}

// What was asked is a run like any other.
func TestBisectionIsARun(t *testing.T) {
	b, fake, stdout := bisectOf(t, "a/b/s.n", "1 1 gone 1 2 2 2 2", true)
	fake.first = make(chan struct{}) // both ends are asked at the same time
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if got := statusIn(b.carryOut(ctx, time.Now())); got != ExitChanged {
		t.Errorf("status %d", got)
	}
	var out render.Bisection
	if err := json.Unmarshal(stdout.Bytes(), &out); err != nil {
		t.Fatal(err)
	}
	run, err := results.Open(b.out.Dir())
	if err != nil {
		t.Fatal(err)
	}
	var have, told []string
	for _, c := range run.Cells {
		have = append(have, c.Kernel.Version+" "+string(c.Outcome))
	}
	for _, s := range out.Steps {
		told = append(told, s.Kernel+" "+map[bool]string{false: "ok", true: "failed"}[s.Skipped])
	}
	if !slices.Equal(have, told) || len(have) < 4 {
		t.Errorf("the run has %q, the steps are %q", have, told)
	}
	if run.Plan.Finished == nil || filepath.Dir(out.Dir) != filepath.Dir(b.out.Dir()) {
		t.Errorf("the run is not finished, or elsewhere: %s", out.Dir)
	}
}

// A row that the probe does not record is found out with the first kernel.
func TestBisectionOfUnknownRow(t *testing.T) {
	b, _, stdout := bisectOf(t, "a/b/s.n", "absent absent absent absent", false)
	err := b.carryOut(t.Context(), time.Now())
	if statusIn(err) != ExitUsage || err.Error() != "--row a/b/s.n: a/b does not record it; nearest: a/b/other.n" {
		t.Errorf("error %v\n%s", err, stdout)
	}
}

// What was asked before the user interrupts is told, and what was not is not.
func TestBisectionInterrupted(t *testing.T) {
	b, fake, stdout := bisectOf(t, "a/b/s.n", "1 1 1 hang 2 2 2 2", false)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	fake.hangs = cancel
	if got := statusIn(b.carryOut(ctx, time.Now())); got != ExitFailed {
		t.Errorf("status %d, want %d", got, ExitFailed)
	}
	for _, w := range []string{"between 6.1.1-1 and 6.1.8-1\n", "6 kernels in between not asked\n", "Interrupted: this is as narrow as it was by then.\n", "2 of 8 kernels asked"} {
		if !strings.Contains(stdout.String(), w) {
			t.Errorf("no %q in\n%s", w, stdout)
		}
	}
	run, err := results.Open(b.out.Dir())
	if err != nil {
		t.Fatal(err)
	}
	if run.Plan.Finished != nil || len(run.Cells) != 3 || fake.atOnce != 0 {
		t.Errorf("finished %v, %d cells, %d guests still run", run.Plan.Finished, len(run.Cells), fake.atOnce)
	}
}

// pool resolves the refs of a made-up archive.
type pool map[string][]string

func (p pool) Resolve(_ context.Context, ref string) ([]kernel.Candidate, error) {
	versions, ok := p[ref]
	if !ok {
		return nil, kernel.ErrUnknown
	}
	var out []kernel.Candidate
	for _, v := range versions {
		c := kernel.Candidate{Ref: ref, Source: kernel.SchemeDebian, Version: v, Series: "6.1", Flavour: "cloud", Arch: "amd64", Suite: "bookworm"}
		if strings.HasPrefix(v, "6.12") {
			c.Series = "6.12"
		}
		if ref == "debian:6.1?flavour=rt" {
			c.Flavour = "rt"
		}
		out = append(out, c)
	}
	return out, nil
}

func TestBisectRange(t *testing.T) {
	p := pool{
		"debian:6.1":                   {"6.1.192-2"},
		"debian:6.1?flavour=rt":        {"6.1.192-2"},
		"debian:6.12":                  {"6.12.117-1"},
		"debian:6.1.*":                 {"6.1.176-1", "6.1.192-2"},
		"debian:6.1.0-37_6.1.140-1":    {"6.1.140-1"},
		"debian:6.1.140-1..6.1.192-2":  {"6.1.176-1", "6.1.192-2"},
		"debian:6.1.192-2..6.12.117-1": {"6.1.192-2", "6.12.107-1~deb12u1", "6.12.107-1", "6.12.9-1", "6.12.117-1", "6.1.192-3"},
	}
	got, err := bisectRange(t.Context(), p, "debian:6.1", "debian:6.12")
	var refs []string
	for _, c := range got {
		refs = append(refs, c.Ref)
	}
	want := []string{"debian:6.1.192-2", "debian:6.1.192-3", "debian:6.12.9-1", "debian:6.12.107-1~deb12u1", "debian:6.12.107-1", "debian:6.12.117-1"}
	if err != nil || !slices.Equal(refs, want) {
		t.Errorf("range %q, %v; want %q", refs, err, want)
	}
	if got, err = bisectRange(t.Context(), p, "debian:6.1.0-37_6.1.140-1", "debian:6.1"); err != nil || len(got) != 3 || got[0].Version != "6.1.140-1" {
		t.Errorf("range from the pool %v, %v", got, err)
	}
	for refs, want := range map[[2]string]string{
		{"debian:6.12", "debian:6.1"}:            "--from 6.12.117-1 is newer than --to 6.1.192-2: swap them",
		{"debian:6.1", "debian:6.1"}:             "debian:6.1 and debian:6.1 both name 6.1.192-2: there is nothing in between",
		{"debian:6.1.*", "debian:6.12"}:          "--from debian:6.1.* names 2 kernels, from 6.1.176-1 to 6.1.192-2: name one",
		{"debian:6.1?flavour=rt", "debian:6.12"}: "debian:6.1?flavour=rt is of flavour rt for amd64, debian:6.12 of flavour cloud for amd64: name two of one build",
	} {
		if _, err := bisectRange(t.Context(), p, refs[0], refs[1]); statusIn(err) != ExitUsage || err.Error() != want {
			t.Errorf("%q: error %v, want %s", refs, err, want)
		}
	}
	if _, err := bisectRange(t.Context(), p, "debian:6.1", "debian:9.9"); !errors.Is(err, kernel.ErrUnknown) {
		t.Errorf("error %v", err)
	}
}
