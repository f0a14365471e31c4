package render

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/ctmatrix/ctmatrix/guest/observe"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/results"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/table"
)

// Tests that read the page as its readers do, in a browser that is theirs alone.

// browserLimit bounds all that a test does in its browser.
const browserLimit = 2 * time.Minute

// tab is a page in a browser.
type tab struct {
	t   *testing.T
	ctx context.Context
	url string
	mu  sync.Mutex
	bad []string // what the browser complains of
}

// browse opens a page at an address within it ("" or "#row=…").
func browse(t *testing.T, page []byte, at string) *tab {
	t.Helper()
	if os.Getenv("CTMATRIX_REAL_TESTS") == "" {
		t.Skip("set CTMATRIX_REAL_TESTS=1 to start Chromium")
	}
	path, err := exec.LookPath("chromium")
	if err != nil {
		t.Fatalf("%v: `.ci/tools chromium` installs it", err)
	}
	file := filepath.Join(t.TempDir(), "report.html")
	if err := os.WriteFile(file, page, 0o644); err != nil {
		t.Fatal(err)
	}
	options := append(slices.Clone(chromedp.DefaultExecAllocatorOptions[:]), chromedp.ExecPath(path),
		chromedp.NoSandbox, // CI is root, and the page is ours
		chromedp.DisableGPU, chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-quic", true))
	ctx, cancel := context.WithTimeout(context.Background(), browserLimit)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewExecAllocator(ctx, options...)
	t.Cleanup(cancel)
	b := &tab{t: t, url: (&url.URL{Scheme: "file", Path: file}).String()}
	b.ctx, cancel = chromedp.NewContext(ctx, chromedp.WithListener(b.hear))
	t.Cleanup(cancel)
	b.do(chromedp.EmulateViewport(1280, 900), command(log.Enable, cdp.Empty{}))
	b.open(at)
	t.Cleanup(func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		for _, text := range b.bad {
			t.Errorf("the browser says: %s", text)
		}
	})
	return b
}

// hear remembers exceptions, and what the policy of the page forbids.
func (b *tab) hear(ev any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch ev := ev.(type) {
	case *runtime.EventExceptionThrown:
		b.bad = append(b.bad, fmt.Sprintf("%+v", ev.ExceptionDetails.Exception))
	case *log.EventEntryAdded:
		b.bad = append(b.bad, ev.Entry.Text)
	}
}

func (b *tab) do(actions ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	if err := chromedp.Do(b.ctx, actions...); err != nil {
		b.t.Fatal(err)
	}
}

func (b *tab) open(at string) { b.t.Helper(); b.do(chromedp.Navigate(b.url + at)) }

// command is a command of the protocol as an action.
func command[P, R any](cmd cdp.Command[P, R], params P) chromedp.Action[chromedp.Void] {
	return chromedp.Func(func(ctx context.Context, _ *chromedp.Target) error {
		_, err := chromedp.Call(ctx, cmd, params)
		return err
	})
}

// ask evaluates an expression in the page.
func ask[T any](b *tab, expression string) T {
	b.t.Helper()
	got, err := chromedp.Run(b.ctx, chromedp.Evaluate[T](expression))
	if err != nil {
		b.t.Fatalf("%s: %v", expression, err)
	}
	return got
}

// want holds an expression to a value. What follows a frame or an event comes
// later than the action that causes it.
func want[T comparable](b *tab, expression string, value T) {
	b.t.Helper()
	var got T
	for end := time.Now().Add(browserLimit / 4); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if got = ask[T](b, expression); got == value {
			return
		}
	}
	b.t.Fatalf("%s is %v, want %v", expression, got, value)
}

// press presses keys one after the other, as a keyboard does: a key that the page
// takes for itself types nothing.
func (b *tab) press(keys string) {
	b.t.Helper()
	for _, r := range keys {
		events := kb.Encode(r)
		down, up := *events[0], *events[len(events)-1]
		if len(events) == 3 {
			down.Text = events[1].Text
		}
		if r == '\r' {
			down.Text = "\r"
		}
		b.do(command(input.DispatchKeyEvent, down), command(input.DispatchKeyEvent, up))
	}
}

const (
	focused = `document.activeElement.id`
	said    = `document.getElementById("said").textContent`
	shown   = `document.getElementById("shown").textContent`
	search  = `document.getElementById("search").value`
	drawn   = `document.querySelectorAll("#grid .row:not(.probe-row)").length`
	theme   = `getComputedStyle(document.body).backgroundColor`
	wide    = `document.documentElement.scrollWidth`
)

// lines counts the lines of the picture that match.
func lines(tb *table.Table, fit func(table.Row, table.Change) bool) int {
	v, n := newHTMLView(tb), 0
	for _, rows := range v.rows {
		for _, row := range rows {
			if fit(row, v.changed[row.Name]) {
				n++
			}
		}
	}
	return n
}

func TestRealHTMLKeys(t *testing.T) {
	tb := noted(t)
	b := browse(t, htmlOf(t, tb, detail), "")
	all := lines(tb, func(table.Row, table.Change) bool { return true })
	of := func(n int) string { return fmt.Sprintf("%d of %d lines", n, all) }
	changed := func(_ table.Row, c table.Change) bool { return len(c.Boundaries) > 0 }
	want(b, shown, of(lines(tb, changed)))

	b.press("/")
	want(b, focused, "search")
	want(b, search, "")
	b.press("table-full/syn/*")
	want(b, search, "table-full/syn/*")
	here := func(row table.Row, c table.Change) bool { return changed(row, c) && row.Probe == "table-full/syn" }
	want(b, shown, of(lines(tb, here)))
	if n := lines(tb, here); n < 3 {
		t.Fatalf("%d rows change, too few to move among", n)
	}

	b.press(kb.Enter)
	want(b, focused, "grid")
	var rows []table.Row
	for _, l := range tb.Timeline(func(name string) bool { return strings.HasPrefix(name, "table-full/syn/") }) {
		if len(l.Change.Boundaries) > 0 {
			rows = append(rows, l.Row)
		}
	}
	tells := func(n, column int) { t.Helper(); b.tells(rows[n], tb.Columns[column].Label, column) }
	tells(0, 0)
	b.press(kb.ArrowDown + kb.ArrowRight + kb.ArrowRight)
	tells(1, 2)
	want(b, said+`.includes("0123456789ab netfilter: conntrack: take them")`, true)
	b.press(kb.End)
	tells(1, 3)
	b.press(kb.ArrowUp + kb.ArrowLeft)
	tells(0, 2)
	want(b, `getComputedStyle(document.activeElement).outlineStyle`, "solid")

	target := "row=" + rows[0].Name
	b.press(kb.Enter)
	want(b, focused, target)
	want(b, `location.hash`, "#"+target)
	want(b, `document.activeElement.checkVisibility({contentVisibilityAuto: true})`, true)
	b.press(kb.Escape)
	want(b, search, "")
	want(b, shown, of(lines(tb, changed)))
	b.press("/")
	want(b, focused, "search")
	b.press("no such row")
	want(b, shown, of(0))
	want(b, `document.getElementById("grid").textContent.includes("No row is like that")`, true)
}

// tells holds what is said of the cursor to a row and a kernel.
func (b *tab) tells(r table.Row, kernel string, column int) {
	b.t.Helper()
	text := valueText(r.Values[column])
	for _, part := range []string{r.Name, kernel, text} {
		want(b, said+`.includes(`+fmt.Sprintf("%q", part)+`)`, true)
	}
	want(b, `document.getElementById("active").getAttribute("aria-label")`, kernel+": "+mark(lookOf(r).codes[column])+" "+text)
}

func TestRealHTMLFilters(t *testing.T) {
	tb := noted(t)
	b := browse(t, htmlOf(t, tb, detail), "")
	b.press("\t")
	want(b, `document.activeElement.textContent`, "To the overview")
	choose := func(id, value string, fit func(table.Row, table.Change) bool) {
		t.Helper()
		b.do(chromedp.SetValue("#"+id, value))
		b.do(chromedp.Evaluate[chromedp.Void](`document.getElementById("` + id + `").dispatchEvent(new Event("input", {bubbles: true}))`))
		want(b, shown+`.split(" ")[0]`, fmt.Sprint(lines(tb, fit)))
		if lines(tb, fit) == 0 {
			t.Errorf("nothing is shown for %s %q: the sample proves nothing", id, value)
		}
	}
	choose("show", "2", func(_ table.Row, c table.Change) bool { return len(c.Boundaries) > 0 && !c.Explained() })
	choose("show", "4", func(r table.Row, _ table.Change) bool {
		return slices.ContainsFunc(r.Values, func(v table.Value) bool { return !v.Status.Behaviour() })
	})
	choose("show", "0", func(table.Row, table.Change) bool { return true })
	choose("family", "loose", func(r table.Row, _ table.Change) bool { return strings.HasPrefix(r.Probe, "loose/") })
	b.do(chromedp.Click("#clear"))
	// The overview leads to what changes between two kernels.
	v := newHTMLView(tb)
	b.do(chromedp.Click(`[data-between="1"]`))
	want(b, shown+`.split(" ")[0]`, fmt.Sprint(lines(tb, func(_ table.Row, c table.Change) bool {
		return slices.Contains(v.boundariesOf(c), 1)
	})))
	b.do(chromedp.Click("#grid .row:not(.probe-row):not(.here) .cell:last-child"))
	want(b, said+`.includes(`+fmt.Sprintf("%q", tb.Columns[len(tb.Columns)-1].Label)+`)`, true)
}

func TestRealHTMLLinks(t *testing.T) {
	page := htmlOf(t, noted(t), detail)
	b := browse(t, page, "#row=table-full/syn@child/syn.class")
	want(b, focused, "row=table-full/syn@child/syn.class")
	want(b, `document.activeElement.checkVisibility({contentVisibilityAuto: true})`, true)
	want(b, `(r => r.top >= 0 && r.bottom <= innerHeight)(document.activeElement.getBoundingClientRect())`, true)
	b.open("#probe=loose/on")
	want(b, `document.getElementById("probe=loose/on").open`, true)
	b.open("#row=%zz")
	b.open("#row=nothing/of/this.kind")
	want(b, shown+`.length > 0`, true)
}

// Overview and parts are there for who runs no scripts; the picture says why not.
func TestRealHTMLWithoutScript(t *testing.T) {
	tb := noted(t)
	b := browse(t, htmlOf(t, tb, detail), "")
	b.do(command(emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true}))
	b.open("")
	want(b, `document.getElementById("stage").checkVisibility()`, false)
	want(b, `document.querySelector("noscript p")?.checkVisibility()`, true)
	want(b, `document.body.innerText.includes("A full table takes newcomers")`, true)
	visible := `document.getElementById("row=table-full/syn/syn.class").checkVisibility({contentVisibilityAuto: true})`
	want(b, visible, false)
	b.do(chromedp.Click(`[id="family=table-full"] > summary`))
	b.do(chromedp.Click(`[id="probe=table-full/syn"] > summary`))
	want(b, visible, true)
	b.open("#row=loose/on/ack.class") // the browser opens what a link names
	want(b, `document.getElementById("row=loose/on/ack.class").checkVisibility({contentVisibilityAuto: true})`, true)
}

func TestRealHTMLThemes(t *testing.T) {
	b := browse(t, htmlOf(t, noted(t), detail), "")
	scheme := func(name string) {
		b.do(command(emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: name}},
		}))
	}
	const light, dark = "rgb(255, 255, 255)", "rgb(20, 24, 29)"
	scheme("dark")
	want(b, theme, dark)
	scheme("light")
	want(b, theme, light)
	b.do(chromedp.Click("#theme")) // light
	scheme("dark")
	want(b, theme, light)
	b.do(chromedp.Click("#theme")) // dark
	scheme("light")
	want(b, theme, dark)
	b.open("#")
	want(b, theme, dark) // it is remembered
}

// Nothing on the page is wider than a phone but what scrolls in a box of its own.
func TestRealHTMLPhone(t *testing.T) {
	for name, tb := range map[string]*table.Table{"noted": noted(t), "hostile": hostile(t).table(), "many": many(t).table(), "failed": failed(t).table()} {
		t.Run(name, func(t *testing.T) {
			b := browse(t, htmlOf(t, tb, detail), "")
			b.do(chromedp.EmulateViewport(390, 844, chromedp.EmulateMobile, chromedp.EmulateTouch))
			b.open("")
			want(b, wide, 390)
			ask[bool](b, `document.querySelectorAll("details").forEach((d) => { d.open = true; }) ?? true`)
			want(b, wide, 390)
		})
	}
}

func TestRealHTMLIsNotInjected(t *testing.T) {
	b := browse(t, htmlOf(t, injected(t, strings.Join(injections, " ")), detail), "")
	want(b, `document.getElementById("stage").checkVisibility()`, true)
	b.do(chromedp.SetValue("#show", "0"))
	b.do(chromedp.Evaluate[chromedp.Void](`document.getElementById("show").dispatchEvent(new Event("input", {bubbles: true}))`))
	b.do(chromedp.Focus("#grid"))
	n := ask[int](b, `Number(`+shown+`.split(" ")[0])`)
	if n < 100 {
		t.Fatalf("%d rows", n)
	}
	b.press(strings.Repeat(kb.ArrowDown, 15) + kb.End + strings.Repeat(kb.PageDown, 4))
	want(b, `window.owned === undefined`, true)
	want(b, `document.scripts.length`, 2)
	want(b, `performance.getEntriesByType("resource").length`, 0)
}

// large is rows of a whole suite on as many kernels, over four series.
func large(t *testing.T, rows, kernels int) *table.Table {
	var versions []string
	for i := range kernels {
		versions = append(versions, fmt.Sprintf("6.%d.%d-1", 1+4*i/kernels, i))
	}
	s := newSample(t, versions...)
	for c := range s.cells {
		var probes []results.Probe
		var all []observe.Row
		for n := 0; len(all) < rows; n++ {
			for _, p := range s.cells[c].Probes {
				p.Name += fmt.Sprintf("-%d", n)
				probes = append(probes, p)
			}
			for i, r := range s.rows {
				parts := strings.Split(r.Name, "/")
				parts[1] += fmt.Sprintf("-%d", n)
				r.Name = strings.Join(parts, "/")
				if i%10 == 0 && c%20 > 5+i%7 {
					r.Value += " and more"
				}
				all = append(all, r)
			}
		}
		s.cells[c].Probes, s.cells[c].Rows = probes, all
	}
	return table.New(s.cells, nil)
}

// A pool of kernels is a page of few megabytes, of which the browser keeps only
// what is in sight drawn.
func TestRealHTMLLarge(t *testing.T) {
	for _, kernels := range []int{4, 80} {
		t.Run(fmt.Sprint(kernels), func(t *testing.T) {
			tb := large(t, 6400, kernels)
			page := htmlOf(t, tb, detail)
			if len(page) > 8<<20 {
				t.Errorf("%d bytes", len(page))
			}
			b := browse(t, page, "")
			t.Logf("%d rows on %d kernels: %d bytes, loaded in %d ms", len(tb.Rows), kernels, len(page),
				ask[int](b, `Math.round(performance.getEntriesByType("navigation")[0].loadEventEnd)`))
			b.do(chromedp.SetValue("#show", "0"))
			b.do(chromedp.Evaluate[chromedp.Void](`document.getElementById("show").dispatchEvent(new Event("input", {bubbles: true}))`))
			want(b, shown, fmt.Sprintf("%d of %d lines", len(tb.Rows), len(tb.Rows)))
			b.do(chromedp.Focus("#grid"))
			for range 5 {
				b.press(kb.PageDown)
			}
			b.press(kb.End)
			want(b, `document.getElementById("active") !== null`, true)
			want(b, drawn+` > 10`, true)
			want(b, `document.querySelectorAll("#grid *").length < 3000`, true)
			want(b, said+`.includes(`+fmt.Sprintf("%q", tb.Columns[kernels-1].Label)+`)`, true)
		})
	}
}
