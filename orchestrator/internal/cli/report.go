package cli

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ctmatrix/ctmatrix/orchestrator/internal/render"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/results"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/table"
)

// told is a run that was made before, ready to be told again.
type told struct {
	run     *results.Run
	table   *table.Table
	summary render.Summary
	layout  render.Options
	origin  string // of KCIDB's ids
}

// reportFormat is a way to tell a run.
type reportFormat struct {
	name, what string
	write      func(io.Writer, told) error
}

// reportFormats are all there are, in the order in which they are listed.
var reportFormats = []reportFormat{
	{"text", "what run prints", func(w io.Writer, s told) error { return render.Text(w, s.table, s.summary, s.layout) }},
	{"markdown", "the same for GitHub, at most 1 MiB", func(w io.Writer, s told) error {
		return render.Markdown(w, s.table, s.summary, render.MarkdownLimit)
	}},
	{"html", "one page for a browser, with everything in it", func(w io.Writer, s told) error {
		p := s.run.Plan
		return render.HTML(w, s.table, s.summary, render.Detail{Tool: p.Tool, Command: p.Argv, Started: p.Started})
	}},
	{"junit", "XML for Jenkins, GitLab and others", func(w io.Writer, s told) error { return render.JUnit(w, s.table, s.run.Plan.Started) }},
	{"ktap", "the kernel's Test Anything Protocol", func(w io.Writer, s told) error { return render.KTAP(w, s.table) }},
	{"kcidb", "JSON for kernel CI's database", func(w io.Writer, s told) error {
		return render.KCIDB(w, s.table, render.Submission{Origin: s.origin, Started: s.run.Plan.Started, Tool: s.run.Plan.Tool})
	}},
	{"csv", "every row on every kernel", func(w io.Writer, s told) error { return render.CSV(w, s.table) }},
	{"json", "what run --json prints", func(w io.Writer, s told) error { return render.JSON(w, s.table, s.summary) }},
}

const reportLong = `report tells a run that is there in the words of another program. RUN is named as
for diff: the directory of a run or of one of its cells, the name of one, latest
(the default), or a kernel of the latest run.

%s

What CI systems are told of a probe on a kernel follows from the older neighbour in
the kernels' history, as in the exit status of run:

                                      junit     ktap           kcidb
  nothing older to hold it against    passes    ok             DONE
  as before, or explained by notes    passes    ok             PASS
  changed, and nothing explains it    failure   not ok         FAIL
  unsupported                         skipped   ok # SKIP      SKIP
  the kernel crashed                  error     not ok # ERROR FAIL
  broken, or repetitions differ       error     not ok # ERROR ERROR
  never ran, the rest did             error     not ok # ERROR MISS
  never ran, as the kernel's run      skipped   ok # SKIP      MISS
  failed, which is an error once

The change is the newer kernel's, and its text says which rows, from what to what,
and between which two kernels. It asks for a look and need not be a fault. A note
that names the commit makes it pass, on every later report too.

junit: a testsuite for each kernel, with a testcase for each probe and one, "run",
for the kernel's run as a whole. Times are the host's. Testcases have one only where
the guest had the host's clock: on the virtual one five days pass in seconds.

ktap: a test for each kernel, in it one for each family, in it one for each probe.

kcidb: which kernel it was stands in checkout and build, never in the test's path;
every row is in misc.rows of its test. --origin begins every id. What is the same is
PASS, not DONE, where there was something to hold it against: dashboards look for
what failed and then passes, or the other way round.

csv: one header line; what was not recorded stands in parentheses, with the reason.
A field gets an apostrophe in front where a spreadsheet would compute it: behind any
spaces it begins with =, +, -, @, a tab or the end of a line.

markdown: what nothing explains comes first; what does not fit is left out by whole
blocks, and the last line says how many.

With --packets it prints the packets of one probe instead, as the run captured them,
what tracking thought of each, and what the probe did between them.

Exit status: 0 the report is written, whatever it says; 2 it could not be; 64 wrong
usage.`

func (a *app) reportCommand() *cobra.Command {
	var out, format, output, origin, probe string
	var list []string
	for _, f := range reportFormats {
		list = append(list, fmt.Sprintf("  %-9s %s", f.name, f.what))
	}
	cmd := &cobra.Command{
		Use:   "report [RUN]",
		Short: "Tell a run again, for people or for CI systems",
		Long:  fmt.Sprintf(reportLong, strings.Join(list, "\n")),
		Example: `  ctmatrix report --format html --output report.html
  ctmatrix report --format junit --output ctmatrix.xml
  ctmatrix report --format markdown >> "$GITHUB_STEP_SUMMARY"
  ctmatrix report runs/20261101T010000Z --format csv
  ctmatrix report debian:6.12 --format kcidb --origin example
  ctmatrix report --packets table-full/syn debian:6.1`,
		Args: a.args(cobra.MaximumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			run := append(args, results.LatestLink)[0]
			if probe != "" {
				return a.packets(cmd, run, probe)
			}
			f, err := findFormat(format)
			if err != nil {
				return err
			}
			if !originName.MatchString(origin) {
				return usage{fmt.Errorf("--origin %s: write lower-case letters, digits and underscores, such as ctmatrix", origin)}
			}
			s, err := a.tell(cmd, out, run)
			if err != nil {
				return err
			}
			s.origin = origin
			s.layout = a.layout()
			s.layout.Color = s.layout.Color && output == ""
			return a.writeReport(f, s, output)
		},
	}
	f := cmd.Flags()
	f.StringVar(&format, "format", "text", "one of "+formatNames())
	f.StringVar(&output, "output", "", "file to write (default: standard output)")
	f.StringVar(&origin, "origin", "ctmatrix", "name of the CI system, for kcidb")
	f.StringVar(&out, "out", defaultOut, "directory of the runs, for names and for `latest`")
	packetsFlag(cmd, &probe)
	a.configFlag(cmd)
	a.notesFlag(cmd)
	return cmd
}

// originName is what KCIDB takes for an origin.
var originName = regexp.MustCompile(`^[a-z0-9_]+$`)

func formatNames() string {
	var names []string
	for _, f := range reportFormats {
		names = append(names, f.name)
	}
	return strings.Join(names[:len(names)-1], ", ") + " or " + names[len(names)-1]
}

func findFormat(name string) (reportFormat, error) {
	for _, f := range reportFormats {
		if f.name == name {
			return f, nil
		}
	}
	return reportFormat{}, usage{fmt.Errorf("--format %s: write %s", name, formatNames())}
}

// tell reads a run with the notes that the settings name.
func (a *app) tell(cmd *cobra.Command, root, name string) (told, error) {
	b, err := a.book(cmd)
	if err != nil {
		return told{}, err
	}
	run, err := results.Find(root, name)
	if err != nil {
		return told{}, err
	}
	t := table.New(run.Cells, run.Plan.Probes)
	t.Book = b
	var elapsed time.Duration
	if p := run.Plan; p.Finished != nil && len(p.Resumed) == 0 {
		elapsed = max(p.Finished.Sub(p.Started), 0)
	}
	return told{run: run, table: t, summary: summaryOf(run, elapsed)}, nil
}

// summaryOf says of a run what its table does not.
func summaryOf(run *results.Run, elapsed time.Duration) render.Summary {
	s := render.Summary{Elapsed: elapsed, Dir: run.Dir}
	for _, c := range run.Cells {
		switch {
		case c.Booted():
			s.Booted++
		case len(c.Cached) > 0:
			s.Cached++
		}
	}
	return s
}

// writeReport writes a report in one go: one that cannot be made leaves a file as
// it was.
func (a *app) writeReport(f reportFormat, s told, output string) error {
	var buf bytes.Buffer
	if err := f.write(&buf, s); err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	if output == "" {
		_, err := a.stdout.Write(buf.Bytes())
		return err
	}
	if real, err := filepath.EvalSymlinks(output); err == nil {
		output = real // a link stays one
	}
	write := results.Replace
	if info, err := os.Stat(output); err == nil && !info.Mode().IsRegular() {
		write = func(path string, data []byte) error { return os.WriteFile(path, data, 0o666) } // a pipe
	}
	if err := write(output, buf.Bytes()); err != nil {
		return fmt.Errorf("write report: %w: name another file with --output", err)
	}
	return nil
}
