package cli

import (
	"fmt"
	"runtime"

	"github.com/spf13/cobra"
)

func (a *app) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Say which ctmatrix this is",
		Args:  a.args(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error {
			_, err := fmt.Fprintf(a.stdout, "ctmatrix %s %s/%s\n", Version, runtime.GOOS, runtime.GOARCH)
			return err
		},
	}
}
