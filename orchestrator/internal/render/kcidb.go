package render

import (
	"cmp"
	"io"
	"strings"
	"time"

	"github.com/ctmatrix/ctmatrix/guest/observe"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/results"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/table"
)

// Submission says whose report a KCIDB document is, and of which run.
type Submission struct {
	Origin  string    // of all ids: lower-case letters, digits and underscores
	Started time.Time // when the run began; it tells its tests from those of others
	Tool    string    // version of ctmatrix
}

// The parts of KCIDB's schema 5.3 that are filled in.
type (
	kcidb struct {
		Version   kcidbVersion    `json:"version"`
		Checkouts []kcidbCheckout `json:"checkouts"`
		Builds    []kcidbBuild    `json:"builds"`
		Tests     []kcidbTest     `json:"tests"`
	}
	kcidbVersion struct {
		Major int `json:"major"`
		Minor int `json:"minor"`
	}
	kcidbCheckout struct {
		ID      string         `json:"id"`
		Origin  string         `json:"origin"`
		Comment string         `json:"comment"`
		Valid   bool           `json:"valid"`
		Misc    map[string]any `json:"misc"`
	}
	kcidbBuild struct {
		ID           string         `json:"id"`
		CheckoutID   string         `json:"checkout_id"`
		Origin       string         `json:"origin"`
		Comment      string         `json:"comment"`
		Architecture string         `json:"architecture,omitempty"`
		ConfigName   string         `json:"config_name,omitempty"`
		Status       string         `json:"status,omitempty"`
		Misc         map[string]any `json:"misc"`
	}
	kcidbTest struct {
		ID          string            `json:"id"`
		BuildID     string            `json:"build_id"`
		Origin      string            `json:"origin"`
		Path        string            `json:"path"`
		Comment     string            `json:"comment,omitempty"`
		Status      string            `json:"status"`
		StartTime   string            `json:"start_time,omitempty"`
		Duration    *float64          `json:"duration,omitempty"`
		LogExcerpt  string            `json:"log_excerpt,omitempty"`
		Environment *kcidbEnvironment `json:"environment,omitempty"`
		Misc        *kcidbMisc        `json:"misc,omitempty"`
	}
	kcidbEnvironment struct {
		Comment string         `json:"comment"`
		Misc    map[string]any `json:"misc,omitempty"`
	}
	// kcidbMisc is what the schema has no place for.
	kcidbMisc struct {
		Judgement string            `json:"judgement"`           // in ctmatrix's own words
		Rows      map[string]string `json:"rows,omitempty"`      // what was observed
		Explained []string          `json:"explained,omitempty"` // changes, and the notes that say why
		Guest     *float64          `json:"guest_seconds,omitempty"`
		Measured  string            `json:"measured,omitempty"` // where an earlier run did
	}
)

// KCIDB writes a table as a document of KCIDB's schema 5.3: a checkout for each
// source, a build for each kernel, a test for each probe on each and one for the
// kernel's run as a whole. Which kernel it was stands in checkout and build and
// never in a test's path.
//
// A probe is DONE where there was nothing to hold it against, PASS where it agrees
// with the older neighbour or notes explain what differs, FAIL where nothing
// explains it or the kernel crashed, SKIP where the kernel lacks what it takes,
// ERROR where the rig broke or answers cannot be compared, MISS where it never ran.
func KCIDB(w io.Writer, t *table.Table, s Submission) error {
	k := &kcidbWriter{
		judge: newJudge(t), s: s, ids: namer{},
		doc: kcidb{Version: kcidbVersion{5, 3}, Checkouts: []kcidbCheckout{}, Builds: []kcidbBuild{}, Tests: []kcidbTest{}},
	}
	k.rows = k.observed()
	for i := range t.Columns {
		k.column(i)
	}
	return encode(w, k.doc)
}

type kcidbWriter struct {
	*judge
	s    Submission
	ids  namer
	rows map[spot]map[string]string
	doc  kcidb
}

// observed are the values of each probe, by row.
func (k *kcidbWriter) observed() map[spot]map[string]string {
	out := map[spot]map[string]string{}
	for _, row := range k.t.Rows {
		for i, v := range row.Values {
			if v.Status != table.Recorded {
				continue
			}
			at := spot{row.Probe, i}
			if out[at] == nil {
				out[at] = map[string]string{}
			}
			out[at][rowLabel(row)] = observe.Escape(v.Text)
		}
	}
	return out
}

// id joins parts to one of this origin. No part can be taken for two.
func (k *kcidbWriter) id(parts ...string) string {
	for i, p := range parts {
		parts[i] = strings.ReplaceAll(clip(p, mostText), ":", "_")
	}
	return k.s.Origin + ":" + strings.Join(parts, ":")
}

// column writes a kernel and its tests. Columns of one build, under several
// variants, share it.
func (k *kcidbWriter) column(i int) {
	c := k.t.Columns[i]
	checkout := k.checkout(c.Kernel)
	build := k.build(c.Kernel, checkout)
	env := k.environment(c)
	tests := k.id("run", k.s.Started.UTC().Format(time.RFC3339Nano), buildName(c.Kernel), cmp.Or(c.Variant, "default"))
	test := func(name, path string, v verdict) kcidbTest {
		return kcidbTest{
			ID: k.ids.name(tests + ":" + clip(name, mostText)), BuildID: build, Origin: k.s.Origin,
			Path: "ctmatrix." + path, Comment: v.head, Status: status(v), LogExcerpt: logExcerpt(v.lines),
			Environment: &kcidbEnvironment{Comment: env.Comment}, Misc: &kcidbMisc{Judgement: v.name(), Explained: v.notes},
		}
	}
	whole := test("run", "run", k.cell(i))
	switch {
	case whole.Status == "PASS":
		whole.Status = "DONE" // that it ended says nothing of the kernel
	case whole.Status == "ERROR" && len(c.Probes) == 0:
		whole.Status = "MISS" // it never began
	}
	whole.Environment = &env // in full, once
	if !k.s.Started.IsZero() {
		whole.StartTime = k.s.Started.UTC().Format(time.RFC3339Nano)
	}
	k.doc.Tests = append(k.doc.Tests, whole)
	took := taken(c)
	for _, p := range k.t.Probes {
		out := test(p.Name, testPath(p.Name), k.probe(p, i))
		out.Misc.Rows = k.rows[spot{p.Name, i}]
		if d, ok := took.elapsed[p.Name]; ok {
			s := d.Seconds()
			if c.Guest.Clock == usualClock {
				out.Misc.Guest = &s
			} else {
				out.Duration = &s
			}
		}
		if at, ok := took.measured[p.Name]; ok {
			out.Misc.Measured = at.UTC().Format(time.RFC3339Nano)
		}
		k.doc.Tests = append(k.doc.Tests, out)
	}
}

// taken says how long the probes of a column took, and when those that came from
// the cache were measured.
func taken(c table.Column) (out struct {
	elapsed  map[string]time.Duration
	measured map[string]time.Time
}) {
	out.elapsed, out.measured = map[string]time.Duration{}, map[string]time.Time{}
	for _, p := range c.Probes {
		if p.Elapsed > 0 {
			out.elapsed[p.Name] = p.Elapsed
		}
	}
	for _, o := range c.Cached {
		for _, p := range o.Probes {
			out.measured[p] = o.At
		}
	}
	return out
}

// checkout writes the source of a kernel, once. Of a build that somebody else made
// no more is known than its files.
func (k *kcidbWriter) checkout(kern results.Kernel) string {
	parts := []string{"source", kern.Source, kern.Version}
	if kern.Source != "debian" {
		parts = append(parts, kern.Digest)
	}
	id := k.id(parts...)
	for i := range k.doc.Checkouts {
		if c := &k.doc.Checkouts[i]; c.ID == id {
			c.Valid = c.Valid || kern.Digest != ""
			return id
		}
	}
	k.doc.Checkouts = append(k.doc.Checkouts, kcidbCheckout{
		ID: id, Origin: k.s.Origin, Comment: clip("Linux "+kern.Version+", from "+kern.Source, mostText),
		Valid: kern.Digest != "",
		Misc:  map[string]any{"source": clip(kern.Source, mostText), "version": clip(kern.Version, mostText), "series": clip(kern.Series, mostText)},
	})
	return id
}

// buildName tells builds apart: by their files, where these are known.
func buildName(kern results.Kernel) string {
	return strings.Join([]string{kern.Source, kern.Version, kern.Arch, kern.Flavour, kern.Digest[:min(len(kern.Digest), 16)]}, "/")
}

func (k *kcidbWriter) build(kern results.Kernel, checkout string) string {
	id := k.id("build", buildName(kern))
	for _, b := range k.doc.Builds {
		if b.ID == id {
			return id
		}
	}
	b := kcidbBuild{
		ID: id, CheckoutID: checkout, Origin: k.s.Origin, Comment: clip(kern.Release, mostText),
		Architecture: architecture(kern.Arch), ConfigName: clip(kern.Flavour, mostText),
		Misc: map[string]any{"release": clip(kern.Release, mostText), "digest": clip(kern.Digest, mostText), "verified": kern.Verified},
	}
	if kern.Digest != "" {
		b.Status = "PASS"
	}
	k.doc.Builds = append(k.doc.Builds, b)
	return id
}

// architecture is the name that kernel CI has for one of Debian's.
func architecture(arch string) string {
	if arch == "amd64" {
		return "x86_64"
	}
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			return r
		}
		return '_'
	}, arch)
}

// testPath is a probe's name in the words of KCIDB: "table-full.syn_child". It may
// hold letters, digits, - and _ alone.
func testPath(probe string) string {
	family, rest := splitProbe(probe)
	word := func(s string) string {
		return cmp.Or(strings.Map(func(r rune) rune {
			if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_' {
				return r
			}
			return '_'
		}, s), "_")
	}
	return word(family) + "." + word(rest)
}

func status(v verdict) string {
	return [...]string{
		isAlone: "DONE", isAgreed: "PASS", isChanged: "FAIL", isLacking: "SKIP", isUnsteady: "ERROR",
		isBroken: "ERROR", isCrashed: "FAIL", isMissing: "MISS", isUnasked: "MISS",
	}[v.judgement]
}

// mostExcerpt is the bound of the schema, in characters.
const mostExcerpt = 16384

func logExcerpt(lines []string) string {
	text, n := "", 0
	for _, l := range lines {
		if n += len([]rune(l)) + 1; n > mostExcerpt {
			break
		}
		text += l + "\n"
	}
	return text
}

// environment is what a kernel ran on.
func (k *kcidbWriter) environment(c table.Column) kcidbEnvironment {
	g := c.Guest
	out := kcidbEnvironment{
		Comment: "no guest",
		Misc:    map[string]any{"variant": clip(c.Variant, mostText), "ctmatrix": clip(k.s.Tool, mostText)},
	}
	if g.QEMU == "" {
		return out
	}
	out.Comment = clip("QEMU "+g.QEMU+", "+g.Machine+", "+g.Accel+", "+count(g.CPUs, "CPU")+", "+g.Memory+", "+g.Clock+" clock", mostText)
	for name, value := range map[string]string{
		"qemu": g.QEMU, "machine": g.Machine, "accel": g.Accel, "clock": g.Clock, "memory": g.Memory, "agent": g.Agent,
	} {
		out.Misc[name] = clip(value, mostText)
	}
	out.Misc["cpus"], out.Misc["seed"] = g.CPUs, g.Seed
	return out
}
