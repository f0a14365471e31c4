package sched

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/ctmatrix/ctmatrix/orchestrator/internal/results"
)

// History is how long cells took on this host. It decides nothing but the order
// of work and what the user is told of its end. It may be used concurrently; of
// two processes the later to save wins, which costs a guess.
type History struct {
	path string
	now  func() time.Time

	mu   sync.Mutex
	past []past
	new  []past
}

// past is how long one cell took.
type past struct {
	Kernel  string        `json:"kernel"`
	Series  string        `json:"series"`
	Variant string        `json:"variant"`
	Probes  int           `json:"probes"` // that were run
	Took    time.Duration `json:"took_ns"`
	At      time.Time     `json:"at"`
}

// Bounds on what is kept and read.
const (
	mostPast     = 4000 // cells, the latest
	maxPastBytes = 4 << 20
)

// OpenHistory reads the history in a cache. One that cannot be read is none: it
// would only save time.
func OpenHistory(cache string) *History {
	h := &History{path: filepath.Join(cache, "host", "durations.json"), now: time.Now}
	h.past = h.read()
	return h
}

func (h *History) read() []past {
	f, err := os.Open(h.path)
	if err != nil {
		return nil
	}
	defer f.Close() // only read
	var all []past
	if json.NewDecoder(io.LimitReader(f, maxPastBytes)).Decode(&all) != nil {
		return nil
	}
	return all[:min(len(all), mostPast)]
}

// add says how long a cell took in which so many probes were run.
func (h *History) add(spec Cell, probes int, took time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.new = append(h.new, past{
		Kernel: spec.Kernel.Exact(), Series: spec.Kernel.Series, Variant: spec.Variant.Name,
		Probes: probes, Took: took, At: h.now().UTC(),
	})
}

// save writes what was added down, the latest first.
func (h *History) save() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.new) == 0 {
		return nil
	}
	var all []past
	type same struct {
		kernel, variant string
		probes          int
	}
	have := map[same]bool{}
	slices.Reverse(h.new)
	for _, p := range append(h.new, h.read()...) {
		is := same{p.Kernel, p.Variant, p.Probes}
		if !have[is] && len(all) < mostPast {
			have[is], all = true, append(all, p)
		}
	}
	h.past, h.new = all, nil
	if err := os.MkdirAll(filepath.Dir(h.path), 0o755); err != nil {
		return fmt.Errorf("keep how long cells took: %w", err)
	}
	data, err := json.Marshal(all)
	if err != nil {
		return fmt.Errorf("keep how long cells took: %w", err)
	}
	return results.Replace(h.path, data)
}

// estimate is how long a cell will take to run so many probes: as long as it did
// with the nearest number of them, else as its series did, else as any; 0 where
// nothing is known. Exact says that it was as many probes.
func (h *History) estimate(spec Cell, probes int) (d time.Duration, exact bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, like := range []func(p past) bool{
		func(p past) bool { return p.Kernel == spec.Kernel.Exact() },
		func(p past) bool { return p.Series == spec.Kernel.Series },
		func(past) bool { return true },
	} {
		mean, off := meanOf(h.past, probes, func(p past) bool { return p.Variant == spec.Variant.Name && like(p) })
		if mean > 0 {
			return mean, off == 0
		}
	}
	return 0, false
}

// meanOf is the mean of those that are like something and ran the nearest number
// of probes, and how far off that number is; 0 where there are none.
func meanOf(all []past, probes int, like func(past) bool) (mean time.Duration, off int) {
	near := func(p past) int { return max(p.Probes-probes, probes-p.Probes) }
	nearest, sum, n := 0, time.Duration(0), 0
	for _, p := range all {
		if !like(p) {
			continue
		}
		if n == 0 || near(p) < nearest {
			nearest, sum, n = near(p), 0, 0
		}
		if near(p) == nearest {
			sum, n = sum+p.Took, n+1
		}
	}
	if n == 0 {
		return 0, 0
	}
	return sum / time.Duration(n), nearest
}

// outlook guesses how long a run will go on. It may be used concurrently.
type outlook struct {
	jobs int
	tell func(left time.Duration) // may be nil

	mu        sync.Mutex
	estimates []time.Duration
	ended     []bool
	began     []time.Time
	took      time.Duration // by the cells that have been run
	run       int           // how many these are
	guessed   time.Duration // of those of them for which there was a guess
	// tookGuessed is what these took.
	tookGuessed time.Duration
}

func newOutlook(estimates []time.Duration, jobs int, tell func(time.Duration)) *outlook {
	n := len(estimates)
	return &outlook{jobs: jobs, tell: tell, estimates: estimates, ended: make([]bool, n), began: make([]time.Time, n)}
}

// begin says that a cell has its place.
func (o *outlook) begin(i int, at time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.began[i] = at
}

// end says that a cell has ended, whether it was run or not, and tells how long
// the rest will take.
func (o *outlook) end(i int, at time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.ended[i] = true
	if !o.began[i].IsZero() {
		took := at.Sub(o.began[i])
		o.took, o.run = o.took+took, o.run+1
		if o.estimates[i] > 0 {
			o.guessed, o.tookGuessed = o.guessed+o.estimates[i], o.tookGuessed+took
		}
	}
	if o.tell != nil {
		o.tell(o.left(at))
	}
}

// left is how long the cells that have not ended will take, corrected by how far
// off the guesses were until now, or as long as those that have; 0 where nothing
// is known. The caller holds the lock.
func (o *outlook) left(at time.Time) time.Duration {
	off := 1.0
	if o.guessed > 0 {
		off = float64(o.tookGuessed) / float64(o.guessed)
	}
	var sum, longest time.Duration
	for i, guess := range o.estimates {
		if o.ended[i] {
			continue
		}
		switch {
		case guess > 0:
			guess = time.Duration(float64(guess) * off)
		case o.run > 0:
			guess = o.took / time.Duration(o.run)
		default:
			return 0
		}
		if !o.began[i].IsZero() {
			guess = max(0, guess-at.Sub(o.began[i]))
		}
		sum, longest = sum+guess, max(longest, guess)
	}
	return max(longest, sum/time.Duration(o.jobs))
}
