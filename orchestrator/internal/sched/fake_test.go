package sched

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ctmatrix/ctmatrix/guest/observe"
	"github.com/ctmatrix/ctmatrix/images/kernel"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/matrix"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/results"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/splat"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/vm"
)

// script is what a fake guest does.
type script struct {
	bootErr  error  // Boot fails
	readyErr error  // the agent does not come up
	stream   []byte // what the suite says
	obeys    bool   // it says what it is asked instead
	complain string // what it says on stderr
	execErr  error  // how the command ends
	hang     bool   // after the stream, until somebody gives up
	death    string // the console's last line
	stopErr  error
	fetchErr error
	late     bool     // each phase is over as soon as the stream is
	reset    bool     // the guest ended by being reset
	off      bool     // the guest has ended, in order
	ended    error    // how QEMU ended, where it did
	nmi      []string // what an interrupt has the console show
	nmiErr   error    // why it cannot be interrupted
	before   []string // lines of the console before it is ready
	says     []string // and after it
	// then are the cell's later guests. Behind these come guests that run what
	// they are asked to.
	then []script
}

// fakes are a booter and a fetcher of scripted guests, by the kernel's version.
type fakes struct {
	modules string // an empty directory
	boots   map[string]int
	scripts map[string]script
	configs map[string]string // paths of configurations
	hangs   chan struct{}     // told whenever a guest starts to hang

	mu      sync.Mutex
	running int
	most    int // that ran at a time
	stopped int
	argv    [][]string
	images  []Image
}

func (f *fakes) Fetch(_ context.Context, c kernel.Candidate) (*kernel.Kernel, error) {
	if err := f.scripts[c.Version].fetchErr; err != nil {
		return nil, err
	}
	return &kernel.Kernel{Candidate: c, Image: c.Version, ModulesDir: f.modules, Config: f.configs[c.Version], Digest: "digest of " + c.Version}, nil
}

func (f *fakes) Describe(_ context.Context, g matrix.Guest) (Machine, error) {
	return Machine{QEMU: "7.2", Machine: strings.Replace(g.Machine, anyMachine, "q35", 1), Accel: "tcg", Args: []string{"-m", "256M"}}, nil
}

func (f *fakes) Build() (string, string) { return "7.2", "a build" }

func (f *fakes) Boot(_ context.Context, image Image) (Guest, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := f.scripts[image.Kernel]
	if n := f.boots[image.Kernel]; n > len(s.then) {
		s = script{obeys: true}
	} else if n > 0 {
		s = s.then[n-1]
	}
	f.boots[image.Kernel]++
	if s.bootErr != nil {
		return nil, s.bootErr
	}
	f.running++
	f.most = max(f.most, f.running)
	f.images = append(f.images, image)
	if _, err := io.WriteString(image.Console, "the console of "+image.Kernel+"\n"); err != nil {
		return nil, err
	}
	return &fakeGuest{fakes: f, script: s, release: image.Kernel + "-cloud", hanging: make(chan struct{})}, nil
}

type fakeGuest struct {
	fakes   *fakes
	release string
	hanging chan struct{} // closed when it hangs
	asked   bool          // it was interrupted
	ran     bool          // it was given a job
	script
}

func (g *fakeGuest) Ready(context.Context) error { return g.readyErr }

func (g *fakeGuest) Exec(ctx context.Context, argv []string, stdout, stderr io.Writer) error {
	g.ran = true
	g.fakes.mu.Lock()
	g.fakes.argv = append(g.fakes.argv, argv)
	g.fakes.mu.Unlock()
	if g.obeys {
		var asked []string
		for i, arg := range argv {
			if arg == "--probe" {
				asked = append(asked, argv[i+1])
			}
		}
		g.stream = streamOf(g.release, asked)
		if slices.Contains(argv, "--capture") {
			g.stream = capturedStream(g.release, asked)
		}
	}
	if _, err := stdout.Write(g.stream); err != nil {
		<-ctx.Done() // as SSH does: the far end waits to be read
		return ctx.Err()
	}
	if _, err := io.WriteString(stderr, g.complain); err != nil {
		return err
	}
	if g.hang {
		g.fakes.hangs <- struct{}{}
		close(g.hanging)
		<-ctx.Done()
		return ctx.Err()
	}
	return g.execErr
}

func (g *fakeGuest) Wait(ctx context.Context) error {
	if g.death != "" || g.reset || g.off || g.ended != nil {
		return g.ended
	}
	<-ctx.Done()
	return ctx.Err()
}

func (g *fakeGuest) Splats() []splat.Splat {
	lines := slices.Clone(g.before)
	if g.ran || g.readyErr != nil {
		lines = append(append(lines, g.says...), g.death)
	}
	if g.asked {
		lines = append(lines, g.nmi...)
	}
	return splat.Scan(lines)
}

func (g *fakeGuest) Reset() bool { return g.reset }

// Within ends when the guest hangs, where it is to be late, and at once where all that
// is left is to wait.
func (g *fakeGuest) Within(ctx context.Context, limit time.Duration) (context.Context, context.CancelFunc) {
	within, cancel := context.WithCancelCause(ctx)
	late := &vm.LateError{Limit: limit, Took: limit}
	switch {
	case limit == settleTime || limit == nmiTime:
		cancel(late)
	case g.late && limit == probeTime:
		go func() {
			select {
			case <-g.hanging:
				cancel(late)
			case <-within.Done():
			}
		}()
	}
	return within, func() { cancel(nil) }
}

func (g *fakeGuest) Interrupt(context.Context) error {
	g.asked = true
	return g.nmiErr
}

func (g *fakeGuest) Stop(context.Context) error {
	g.fakes.mu.Lock()
	defer g.fakes.mu.Unlock()
	g.fakes.running--
	g.fakes.stopped++
	return g.stopErr
}

func (g *fakeGuest) Tail() []string {
	lines := []string{"ctmatrix agent: ready"}
	for i := range 2 * consoleLines {
		lines = append(lines, fmt.Sprint("line ", i))
	}
	return append(append(lines, g.says...), g.death)
}

func (g *fakeGuest) Came() string { return "boot" }

func (g *fakeGuest) Args() []string { return []string{"-m", "256M"} }

// states are the words of Progress, by cell.
type states struct {
	mu    sync.Mutex
	words map[int][]string
}

func (s *states) State(i int, _ results.Cell, word string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.words[i] = append(s.words[i], word)
}

var probes = []string{"a/one", "a/two", "b/one"}

// stream is the record stream of a suite that runs all probes.
func stream(t *testing.T, release string) []byte {
	t.Helper()
	return streamOf(release, probes)
}

// streamOf is the record stream of a suite that runs probes, each with one row,
// and says a log line in a/one.
func streamOf(release string, run []string) []byte { return streamWith(release, run, nil) }

// capturedStream is streamOf with a packet and a step for each probe.
func capturedStream(release string, run []string) []byte {
	return streamWith(release, run, []observe.Record{
		{Step: &observe.Step{AtNS: 1, Text: "waited 1 s"}},
		{Packet: &observe.Packet{AtNS: 2, Link: "near", Medium: observe.IP, In: true, Data: []byte{0x45}, Tracking: "new: none"}},
	})
}

func streamWith(release string, run []string, captured []observe.Record) []byte {
	var buf bytes.Buffer
	w := observe.NewWriter(&buf)
	put := func(r observe.Record) {
		if err := w.Write(r); err != nil {
			panic(err) // a buffer takes everything, and the records are ours
		}
	}
	put(observe.Record{Hello: &observe.Hello{
		Protocol: observe.Protocol, Release: release, Probes: run,
		Modules: []observe.Module{{Name: "nf_conntrack", State: observe.ModuleLoaded}},
	}})
	for _, p := range run {
		put(observe.Record{Begin: &observe.Begin{Probe: p}})
		put(observe.Record{Row: &observe.Row{Name: p + "/s.n", Kind: observe.Count, Value: fmt.Sprint(slices.Index(probes, p))}})
		if p == "a/one" {
			put(observe.Record{Log: &observe.Log{Level: 4, AtUS: 1500000, Text: "table\x1b full"}})
		}
		for _, rec := range captured {
			put(rec)
		}
		put(observe.Record{End: &observe.End{Probe: p, Outcome: observe.Recorded, ElapsedNS: 1000}})
	}
	put(observe.Record{Done: &observe.Done{Probes: len(run), Rows: len(run)}})
	return buf.Bytes()
}

// upTo is the stream up to and with the n-th line that holds text.
func upTo(t *testing.T, stream []byte, text string, n int) []byte {
	t.Helper()
	lines := bytes.SplitAfter(stream, []byte("\n"))
	for i, l := range lines {
		if bytes.Contains(l, []byte(text)) {
			if n--; n == 0 {
				return bytes.Join(slices.Clone(lines[:i+1]), nil)
			}
		}
	}
	t.Fatalf("no %s in the stream", text)
	return nil
}

// rig is a scheduler over fakes that writes into a directory of the test.
type rig struct {
	*Scheduler
	fakes  *fakes
	states *states
	cells  []Cell
}

// newRig has a cell for each script, in the order of versions.
func newRig(t *testing.T, scripts map[string]script) *rig {
	t.Helper()
	f := &fakes{modules: t.TempDir(), boots: map[string]int{}, scripts: scripts, hangs: make(chan struct{}, len(scripts))}
	r := &rig{fakes: f, states: &states{words: map[int][]string{}}}
	versions := make([]string, 0, len(scripts))
	for v := range scripts {
		versions = append(versions, v)
	}
	slices.Sort(versions)
	for _, v := range versions {
		spec := Cell{
			Kernel:  kernel.Candidate{Ref: "fake:" + v, Version: v, Upstream: v, Release: v + "-cloud"},
			Variant: matrix.Variant{Name: "default"},
			Guest:   matrix.Guest{Memory: "256M", CPUs: 1, Machine: "auto", Accel: "auto", Clock: "virtual"},
		}
		r.cells = append(r.cells, spec)
	}
	planned, err := Plan(r.cells)
	if err != nil {
		t.Fatal(err)
	}
	w, err := results.Create(t.TempDir(), "run", results.Plan{Cells: planned})
	if err != nil {
		t.Fatal(err)
	}
	r.Scheduler = &Scheduler{
		Kernels: f, Booter: f, Out: w, Progress: r.states, Jobs: 2, Agent: []byte("agent"),
		Selected: probes, ImageDir: t.TempDir(),
	}
	return r
}

// run runs all cells and reads them back from disk.
func (r *rig) run(ctx context.Context, t *testing.T) []results.CellRows {
	t.Helper()
	if err := r.Run(ctx, r.cells); err != nil {
		t.Fatal(err)
	}
	if r.fakes.running != 0 {
		t.Errorf("%d guests are still running", r.fakes.running)
	}
	run, err := results.Open(r.Out.Dir())
	if err != nil {
		t.Fatal(err)
	}
	return run.Cells
}
