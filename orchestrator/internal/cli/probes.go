package cli

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/ctmatrix/ctmatrix/guest/observe"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/agentbin"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/render"
)

func (a *app) probesCommand() *cobra.Command {
	var asJSON bool
	list := func(cmd *cobra.Command, globs []string) error {
		listing, err := agentbin.Listing(cmd.Context(), globs)
		if err != nil {
			return globError(err)
		}
		if asJSON {
			return a.json(listing.Probes)
		}
		return render.Probes(a.stdout, listing.Probes, a.layout())
	}
	probes := &cobra.Command{
		Use:   "probes [GLOB]...",
		Short: "List the probes: what is asked of each kernel",
		Example: `  ctmatrix probes
  ctmatrix probes 'loose/*'
  ctmatrix probes show table-full/syn`,
		RunE: list,
	}
	probes.PersistentFlags().BoolVar(&asJSON, "json", false, "write JSON")
	probes.AddCommand(&cobra.Command{
		Use:   "show PROBE",
		Short: "Show all there is to know of one probe without running it",
		Args:  a.args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			head, err := findProbe(cmd, args[0])
			if err != nil {
				return err
			}
			if asJSON {
				return a.json(head)
			}
			return render.Probe(a.stdout, head, a.layout())
		},
	})
	return probes
}

func findProbe(cmd *cobra.Command, name string) (observe.Head, error) {
	listing, err := agentbin.Describe(cmd.Context(), []string{name})
	if errors.Is(err, agentbin.ErrSelection) {
		listing, err = &observe.Listing{}, nil
	}
	if err != nil {
		return observe.Head{}, err
	}
	for _, h := range listing.Probes {
		if h.Name == name {
			return h, nil
		}
	}
	return observe.Head{}, usage{fmt.Errorf("no probe %q: see `ctmatrix probes`", name)}
}

// globError tells globs that choose nothing from what the user has no part in.
func globError(err error) error {
	if errors.Is(err, agentbin.ErrSelection) {
		return usage{fmt.Errorf("%w: see `ctmatrix probes`", err)}
	}
	return err
}

func (a *app) json(v any) error {
	text, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	_, err = a.stdout.Write(append(render.Harmless(text), '\n'))
	return err
}
