package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/ctmatrix/ctmatrix/orchestrator/internal/packets"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/render"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/results"
)

// packetsFlag has a command print the packets of a probe instead of rows.
func packetsFlag(cmd *cobra.Command, probe *string) {
	cmd.Flags().StringVar(probe, "packets", "", "print the packets of this probe instead, where the run captured them")
}

// packets prints what was captured of a probe on each kernel of a run, or on the
// one that it names.
func (a *app) packets(cmd *cobra.Command, run, probe string) error {
	if err := onlyPackets(cmd); err != nil {
		return err
	}
	r, err := results.Find(outOf(cmd), run)
	if err != nil {
		return err
	}
	printed := 0
	for _, cell := range r.Cells {
		c, err := conversation(r, cell, probe)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		if printed++; printed > 1 {
			fmt.Fprintln(a.stdout)
		}
		if err := render.PacketsText(a.stdout, c, a.layout()); err != nil {
			return err
		}
	}
	if printed == 0 {
		return notCaptured(r, run, probe)
	}
	return nil
}

// diffPackets prints where the conversations of a probe part on two kernels.
func (a *app) diffPackets(cmd *cobra.Command, probe string, names [2]string) error {
	if err := onlyPackets(cmd); err != nil {
		return err
	}
	var both [2]render.Conversation
	for i, name := range names {
		r, err := results.Find(outOf(cmd), name)
		if err != nil {
			return err
		}
		var found []render.Conversation
		for _, cell := range r.Cells {
			c, err := conversation(r, cell, probe)
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if err != nil {
				return err
			}
			found = append(found, c)
		}
		switch len(found) {
		case 0:
			return notCaptured(r, name, probe)
		case 1:
			both[i] = found[0]
		default:
			return usage{fmt.Errorf("%s has packets of %s on %d kernels, and two are compared: name one, such as %s/%s",
				name, probe, len(found), r.Dir, r.Cells[0].Dir)}
		}
	}
	differs, err := render.PacketsDiff(a.stdout, both[0], both[1], a.layout())
	if err != nil {
		return err
	}
	if differs {
		return exit{ExitChanged}
	}
	return nil
}

// conversation reads the capture of a probe of a cell. Its error is fs.ErrNotExist
// where there is none.
func conversation(r *results.Run, cell results.CellRows, probe string) (render.Conversation, error) {
	data, err := r.Packets(cell, probe)
	if err != nil {
		return render.Conversation{}, err
	}
	c, err := packets.Decode(data)
	if err != nil {
		return render.Conversation{}, fmt.Errorf("%s: %w", filepath.Join(r.Dir, cell.Dir, results.PacketsFile(probe)), err)
	}
	c.Probe = probe // as the user called it
	out := render.Conversation{Label: cell.Dir, Capture: c}
	for _, h := range r.Plan.Probes {
		if h.Name == probe {
			out.Question = h.Question
		}
	}
	return out, nil
}

// notCaptured says how to capture.
func notCaptured(r *results.Run, name, probe string) error {
	again := fmt.Sprintf("run `ctmatrix run --capture --probe %s`", probe)
	for _, cell := range r.Cells {
		for _, p := range cell.Probes {
			if p.Name == probe && cell.Guest.Captured {
				return fmt.Errorf("%s: no packets of %s, which was %s: %s: %s", name, probe, p.Outcome, p.Reason, again)
			}
		}
	}
	return fmt.Errorf("%s: no packets of %s were captured: %s", name, probe, again)
}

// onlyPackets refuses flags that say how rows are told.
func onlyPackets(cmd *cobra.Command) error {
	var err error
	cmd.LocalNonPersistentFlags().VisitAll(func(f *pflag.Flag) {
		if f.Changed && f.Name != "packets" && f.Name != "out" && err == nil {
			err = usage{fmt.Errorf("--%s is about rows, and --packets prints packets: leave one of them out", f.Name)}
		}
	})
	return err
}

// outOf is where a command looks for runs.
func outOf(cmd *cobra.Command) string {
	if f := cmd.Flags().Lookup("out"); f != nil {
		return f.Value.String()
	}
	return defaultOut
}
