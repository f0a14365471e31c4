package cli

import (
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ctmatrix/ctmatrix/images/kernel"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/agentbin"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/results"
)

// completer lists what may stand in a place, with an explanation behind a tab.
// What cannot be found out is left out: completion has nobody to complain to.
type completer func(cmd *cobra.Command) []string

// completions tells the shell what flags and arguments may be, for every command
// below root.
func (a *app) completions(root *cobra.Command) {
	probes, kernels := completer(a.completeProbes).names, completer(a.completeKernels).names
	rows, runs := completer(completeRows).names, completer(completeRuns).paths
	flags := map[string]cobra.CompletionFunc{
		"format": completer(completeFormats).names, "variant": completer(a.completeVariants).names, "probe": probes,
		"kernel": kernels, "from": kernels, "to": kernels, "row": rows, "run": runs,
	}
	args := map[string]cobra.CompletionFunc{
		"run": completer(completeResumed).paths, "diff": completer(completeSides).paths, "report": completer(completeSides).paths,
		"stability": runs, "timeline": rows, "probes": probes, "show": probes, "fetch": kernels,
	}
	for _, cmd := range root.Commands() {
		a.completions(cmd)
		for name, complete := range flags {
			if cmd.Flags().Lookup(name) != nil {
				must(cmd.RegisterFlagCompletionFunc(name, complete))
			}
		}
		for _, name := range []string{"config", "notes"} {
			if cmd.Flags().Lookup(name) != nil {
				must(cmd.MarkFlagFilename(name, "yaml", "yml"))
			}
		}
		if cmd.Flags().Lookup("out") != nil {
			must(cmd.MarkFlagDirname("out"))
		}
		if complete := args[cmd.Name()]; complete != nil && cmd.ValidArgsFunction == nil {
			cmd.ValidArgsFunction = complete
		}
	}
}

// must is for what only a command made wrongly can bring about.
func must(err error) {
	if err != nil {
		panic(err)
	}
}

// paths offers what is listed, or else files.
func (list completer) paths(cmd *cobra.Command, _ []string, begun string) ([]string, cobra.ShellCompDirective) {
	return list.next(cmd, begun)
}

// names offers what is listed and nothing else.
func (list completer) names(cmd *cobra.Command, _ []string, begun string) ([]string, cobra.ShellCompDirective) {
	out, directive := list.next(cmd, begun)
	return out, directive | cobra.ShellCompDirectiveNoFileComp
}

// next offers the next part of what is listed: a name goes to the next slash
// first, since families have dozens of probes and probes dozens of rows.
func (list completer) next(cmd *cobra.Command, begun string) ([]string, cobra.ShellCompDirective) {
	var out []string
	directive := cobra.ShellCompDirectiveDefault
	for _, c := range list(cmd) {
		name, about, _ := strings.Cut(c, "\t")
		rest, fits := strings.CutPrefix(name, begun)
		if !fits {
			continue
		}
		if part, _, more := strings.Cut(rest, "/"); more {
			name, about = begun+part+"/", ""
		}
		if strings.HasSuffix(name, "/") || strings.HasSuffix(name, ":") {
			directive = cobra.ShellCompDirectiveNoSpace
		}
		if about != "" {
			name += "\t" + about
		}
		if !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	return out, directive
}

func completeFormats(*cobra.Command) []string {
	var out []string
	for _, f := range reportFormats {
		out = append(out, f.name+"\t"+f.what)
	}
	return out
}

func (a *app) completeVariants(cmd *cobra.Command) []string {
	c, err := a.settings(cmd)
	if err != nil {
		return nil
	}
	var out []string
	for _, v := range c.Variants {
		out = append(out, v.Name)
	}
	return out
}

// completeProbes lists the suite's.
func (a *app) completeProbes(cmd *cobra.Command) []string {
	listing, err := agentbin.Listing(cmd.Context(), nil)
	if err != nil {
		return nil
	}
	var out []string
	for _, h := range listing.Probes {
		out = append(out, h.Name+"\t"+h.Question)
	}
	return out
}

// completeKernels lists the forms of refs, and what is in the cache.
func (a *app) completeKernels(cmd *cobra.Command) []string {
	out := []string{
		"debian:*\tevery kernel of the mirror", "dir:\ta vmlinuz and its modules",
		"tree:\ta kernel's build tree", "host:\tthe running kernel",
	}
	c, err := a.settings(cmd)
	if err != nil {
		return out
	}
	catalog, err := a.catalog(c, nil)
	if err != nil {
		return out
	}
	all, err := catalog.Stored()
	if err != nil {
		return out
	}
	for _, k := range all {
		if k.Source == kernel.SchemeDebian {
			out = append(out, "debian:"+k.Series+"\tthe newest of its series", "debian:"+k.Version+"\t"+k.Release)
		}
	}
	return out
}

// outFlag is where a command's runs are.
func outFlag(cmd *cobra.Command) string {
	if f := cmd.Flags().Lookup("out"); f != nil {
		return f.Value.String()
	}
	return defaultOut
}

// completeRuns lists run directories, the newest first.
func completeRuns(cmd *cobra.Command) []string {
	root := outFlag(cmd)
	plans, err := filepath.Glob(filepath.Join(root, "*", results.PlanFile))
	if err != nil {
		return nil
	}
	var out []string
	for _, p := range slices.Backward(plans) {
		name := filepath.Base(filepath.Dir(p))
		if name == results.LatestLink {
			about, err := os.Readlink(filepath.Dir(p))
			if err == nil {
				name += "\t" + about
			}
			out = slices.Insert(out, 0, name)
			continue
		}
		out = append(out, name)
	}
	return out
}

// completeResumed lists the runs to go on with, where one is.
func completeResumed(cmd *cobra.Command) []string {
	if f := cmd.Flags().Lookup("resume"); f == nil || !f.Changed {
		return nil
	}
	return completeRuns(cmd)
}

// completeSides lists run directories, and the kernels of the latest.
func completeSides(cmd *cobra.Command) []string {
	out := completeRuns(cmd)
	run, err := results.Find(outFlag(cmd), results.LatestLink)
	if err != nil {
		return out
	}
	for _, c := range run.Cells {
		out = append(out, c.Kernel.Ref+"\t"+c.Kernel.Label, c.Kernel.Label+"\t"+c.Kernel.Release)
	}
	return out
}

// completeRows lists what the latest run recorded.
func completeRows(cmd *cobra.Command) []string {
	run, err := results.Find(outFlag(cmd), results.LatestLink)
	if err != nil {
		return nil
	}
	var out []string
	for _, c := range run.Cells {
		for _, r := range c.Rows {
			out = append(out, r.Name)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}
