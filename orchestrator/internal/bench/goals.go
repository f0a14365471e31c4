package bench

import (
	"fmt"
	"time"
)

// Verdict says whether a goal is met.
type Verdict string

// The verdicts.
const (
	Met      Verdict = "met"
	NotMet   Verdict = "not met"
	Unjudged Verdict = "not judged" // what it is about was not measured
)

// Figure is a line of a report: a value, and the goal for it where there is one.
type Figure struct {
	Name    string  `json:"name"`
	Value   string  `json:"value"`
	Goal    string  `json:"goal,omitempty"`
	Verdict Verdict `json:"verdict,omitempty"`
}

// The goals. Those that are ratios are of CPU time to that of a bare boot without
// kernel arguments.
const (
	bootGoal     = 1.1
	coldGoal     = 3.0
	snapshotGoal = 1.0
	daysGoal     = 5 * time.Second
	residentGoal = 160 << 20
	imageGoal    = 8 << 20
	builtGoal    = 100 * time.Millisecond
	poolGoal     = 10 * time.Minute
	cachedGoal   = time.Second
)

// judge is met where a figure is known and within its goal.
func judge(known, within bool) Verdict {
	switch {
	case !known:
		return Unjudged
	case within:
		return Met
	}
	return NotMet
}

func plain(name, format string, args ...any) Figure {
	return Figure{Name: name, Value: fmt.Sprintf(format, args...)}
}

// toBare is the figure of what is to be at most goal times the bare boot.
func toBare(name string, c, bare Cost, goal float64, judged bool) Figure {
	r := ratio(c, bare)
	return Figure{
		Name: name, Value: timesBare(c, bare), Goal: fmt.Sprintf("≤ %.1f ×", goal),
		Verdict: judge(judged && r > 0, r <= goal),
	}
}

func timesBare(c, bare Cost) string {
	if r := ratio(c, bare); r > 0 {
		return fmt.Sprintf("%s, %.2f × bare", c, r)
	}
	return c.String()
}

// unmeasured stands where a bench ended before it came to a figure.
const unmeasured = "not measured"

// String is a cost for people.
func (c Cost) String() string {
	if c == (Cost{}) {
		return unmeasured
	}
	return fmt.Sprintf("%.2f s CPU, %.2f s", c.CPU.Seconds(), c.Wall.Seconds())
}

// Figures are those of a kernel, in order.
func (k Kernel) Figures() []Figure {
	f := []Figure{
		plain("bare boot", "%s", k.Bare),
		plain("bare boot, guests' arguments", "%s", timesBare(k.BareArgs, k.Bare)),
		toBare("boot to agent ready", k.Boot, k.Bare, bootGoal, true),
		toBare("suite, cold", k.Cold, k.Bare, coldGoal, k.Whole),
		toBare("suite, from a snapshot", k.Snapshot, k.Bare, snapshotGoal, k.Whole),
		{Name: "five days", Value: "not asked", Goal: goalOf(daysGoal), Verdict: Unjudged},
		{Name: "guest, resident", Value: mebibytes(k.Resident), Goal: "≤ " + mebibytes(residentGoal),
			Verdict: judge(k.Resident > 0 && k.Whole || k.Resident > residentGoal, k.Resident <= residentGoal)}, // more probes take more
		plain("guest, saved", "%s", mebibytes(k.RAM)),
		{Name: "initramfs", Value: mebibytes(k.Image), Goal: "< " + mebibytes(imageGoal),
			Verdict: judge(k.Image > 0, k.Image < imageGoal)},
		{Name: "initramfs, assembled", Value: millis(k.ImageKept), Goal: "< " + millis(builtGoal),
			Verdict: judge(k.ImageKept > 0, k.ImageKept < builtGoal)},
		plain("initramfs, its layers made once", "%s", millis(k.ImageBuilt)),
	}
	if k.Days > 0 {
		f[5].Value, f[5].Verdict = fmt.Sprintf("%.2f s", k.Days.Seconds()), judge(true, k.Days < daysGoal)
	}
	return f
}

// Figures are those of the matrix, in order. Whole says that every probe was asked.
func (m Matrix) Figures(whole bool) []Figure {
	efficiency, pool := unmeasured, unmeasured
	switch {
	case m.Kernels == 1:
		efficiency, pool = "of a single kernel there is none", "of a single kernel there is none"
	case m.efficiency() > 0:
		efficiency, pool = fmt.Sprintf("%.0f %%", 100*m.efficiency()), m.pool().Round(time.Second).String()
	}
	return []Figure{
		plain("jobs 1", "%s", m.pace(m.One)),
		plain("jobs 2", "%s", m.pace(m.Two)),
		plain("parallel efficiency", "%s", efficiency),
		{Name: fmt.Sprintf("a pool of %d, each booted, guessed", PoolKernels), Value: pool,
			Goal: "< " + poolGoal.String(), Verdict: judge(whole && m.pool() > 0, m.pool() < poolGoal)},
		{Name: "a run of what is known", Value: m.known(), Goal: goalOf(cachedGoal) + ", 0 boots",
			Verdict: judge(m.Cached > 0, m.Cached < cachedGoal && m.Boots == 0)},
	}
}

func (m Matrix) pace(wall time.Duration) string {
	if wall == 0 {
		return unmeasured
	}
	return fmt.Sprintf("%.2f kernels a minute", m.perMinute(wall))
}

func (m Matrix) known() string {
	if m.Cached == 0 {
		return unmeasured
	}
	return fmt.Sprintf("%.2f s, %d boots", m.Cached.Seconds(), m.Boots)
}

func goalOf(d time.Duration) string { return fmt.Sprintf("< %g s", d.Seconds()) }

func mebibytes(n int64) string {
	if n == 0 {
		return unmeasured
	}
	return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
}

func millis(d time.Duration) string { return fmt.Sprintf("%.0f ms", float64(d.Microseconds())/1000) }
