package cli

import (
	"context"
	"errors"
	"fmt"
	"path"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ctmatrix/ctmatrix/images/kconfig"
	"github.com/ctmatrix/ctmatrix/images/kernel"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/agentbin"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/beside"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/render"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/sched"
)

// comparison is what `kernels compare` was asked for.
type comparison struct{ all, json bool }

func (a *app) kernelsCompare() *cobra.Command {
	var flags comparison
	cmd := &cobra.Command{
		Use:   "compare A B",
		Short: "Print in which options and modules two kernels differ",
		Long: `Print in which options of their configurations and in which modules two kernels
differ, as far as these can matter to connection tracking; --all has all of them.
Nothing is booted: kernels that are not in the store are fetched.

An option that is absent from a kernel is one that it does not know, or does not
ask for as its others are set; "n" is one that it could have.`,
		Example: `  ctmatrix kernels compare debian:5.10 debian:7.3
  ctmatrix kernels compare --json debian:6.12 'debian:6.12?flavour=rt'`,
		Args: a.args(cobra.ExactArgs(2)),
		RunE: func(cmd *cobra.Command, refs []string) error { return a.compareKernels(cmd, flags, refs) },
	}
	cmd.Flags().BoolVar(&flags.all, "all", false, "compare all options and all modules below net/, not only what can matter")
	cmd.Flags().BoolVar(&flags.json, "json", false, "write JSON")
	a.settingFlags(cmd)
	return cmd
}

func (a *app) compareKernels(cmd *cobra.Command, flags comparison, refs []string) error {
	bars := a.bars()
	defer bars.Close()
	kernels, err := a.eachOne(cmd, refs, bars)
	if err != nil {
		return err
	}
	wanted, err := matters(cmd.Context(), flags.all)
	if err != nil {
		return err
	}
	out := render.Builds{All: flags.all}
	var options [2]kconfig.Config
	var modules [2]map[string]string
	var unknown []error
	for i, side := range []*render.Build{&out.From, &out.To} {
		k := kernels[i]
		if options[i], err = optionsOf(k, flags.all); err != nil {
			unknown = append(unknown, err)
		}
		if modules[i], err = modulesOf(k, wanted); err != nil {
			return err
		}
		*side = render.Build{
			Ref: refs[i], Version: k.Version, Release: k.Release, Digest: k.Digest,
			Options: len(options[i]), Modules: len(modules[i]),
		}
	}
	if len(unknown) == 0 {
		out.Options = beside.Options(options[0], options[1])
	}
	out.Modules = beside.Modules(modules[0], modules[1])
	bars.Close()
	if flags.json {
		err = render.BuildsJSON(a.stdout, out)
	} else {
		err = render.BuildsText(a.stdout, out, a.layout())
	}
	return errors.Join(append(unknown, err)...)
}

// eachOne fetches the kernel that each ref names.
func (a *app) eachOne(cmd *cobra.Command, refs []string, bars *bars) ([]*kernel.Kernel, error) {
	c, err := a.settings(cmd)
	if err != nil {
		return nil, err
	}
	catalog, err := a.catalog(c, bars)
	if err != nil {
		return nil, err
	}
	var out []*kernel.Kernel
	for _, ref := range refs {
		found, err := sched.Resolve(cmd.Context(), catalog, []string{ref})
		if err != nil {
			return nil, refError(err)
		}
		if len(found) != 1 {
			return nil, usage{fmt.Errorf("%s names %d kernels: write one, such as %s", ref, len(found), found[0].Exact())}
		}
		k, err := catalog.Fetch(cmd.Context(), found[0])
		if err != nil {
			return nil, err
		}
		out = append(out, k)
	}
	return out, nil
}

// optionsOf reads the options of a kernel that are compared.
func optionsOf(k *kernel.Kernel, all bool) (kconfig.Config, error) {
	if k.Config == "" {
		advice := "its package holds none"
		if k.Source != kernel.SchemeDebian {
			advice = fmt.Sprintf("put its configuration beside the image, as config-%s", k.Release)
		}
		return nil, fmt.Errorf("%s: options are not compared: no configuration was kept of it: %s", k.Ref, advice)
	}
	c, err := kconfig.Read(k.Config)
	if err != nil {
		return nil, fmt.Errorf("%s: options are not compared: %w: `ctmatrix kernels verify --repair` fetches what is damaged", k.Ref, err)
	}
	if all {
		return c, nil
	}
	return c.Kept(), nil
}

// modulesOf lists the modules of a kernel that are compared, by name.
func modulesOf(k *kernel.Kernel, wanted func(dir, name string) bool) (map[string]string, error) {
	installed, err := k.Modules()
	if err != nil {
		return nil, err
	}
	out := map[string]string{}
	for file, how := range installed {
		name := strings.ReplaceAll(strings.TrimSuffix(path.Base(file), ".ko"), "-", "_")
		if wanted(path.Dir(file), name) {
			out[name] = how
		}
	}
	return out, nil
}

// matters returns which modules are compared: those of netfilter, of the bridge
// and of the scheduler's actions on connections, and those that probes need.
func matters(ctx context.Context, all bool) (func(dir, name string) bool, error) {
	listing, err := agentbin.Listing(ctx, nil)
	if err != nil {
		return nil, err
	}
	needed := map[string]bool{"act_ct": true, "act_ctinfo": true, "act_connmark": true}
	for _, m := range listing.Modules {
		needed[m] = true
	}
	return func(dir, name string) bool {
		return all && strings.HasPrefix(dir, "kernel/net") || needed[name] || strings.Contains(dir+"/", "/netfilter/")
	}, nil
}
