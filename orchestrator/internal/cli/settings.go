package cli

import (
	"errors"
	"os"
	"runtime"
	"slices"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/ctmatrix/ctmatrix/images/kernel"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/matrix"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/sched"
)

// settingFlags are the flags that stand for keys of matrix.yaml.
func (a *app) settingFlags(cmd *cobra.Command) {
	a.configFlag(cmd)
	f := cmd.Flags()
	f.String("mirror", "", "Debian mirror (default: the one apt on this host uses)")
	f.String("security-mirror", "", "mirror of Debian's security archive (default: beside the other)")
	f.Bool("allow-unverified", false, "also take packages that no signed index lists; results are marked")
	f.String("keyring", "", "OpenPGP keyring that Debian's indexes must be signed with")
}

func (a *app) configFlag(cmd *cobra.Command) {
	cmd.Flags().StringVar(&a.config, "config", "", "matrix file (default: matrix.yaml if there is one, else the built-in matrix)")
}

// settings reads the matrix with the flags of cmd above it, but for those that mean
// something else to the command.
func (a *app) settings(cmd *cobra.Command, but ...string) (*matrix.Config, error) {
	keys := map[string]string{
		"mirror": "mirror", "security-mirror": "security_mirror", "keyring": "keyring",
		"allow-unverified": "allow_unverified", "kernel": "kernels", "probe": "probes", "jobs": "jobs", "notes": "notes",
		"baseline": "baseline",
	}
	cmd.Flags().Visit(func(f *pflag.Flag) {
		key, ok := keys[f.Name]
		if !ok || slices.Contains(but, f.Name) {
			return
		}
		o := matrix.Override{Value: f.Value.String(), Name: "--" + f.Name}
		if list, ok := f.Value.(pflag.SliceValue); ok {
			o.Value = list.GetSlice()
		}
		a.overrides[key] = o
	})
	c, err := matrix.Load(a.config, a.overrides)
	if err != nil {
		return nil, usage{err}
	}
	return c, nil
}

// cacheVariable names the environment variable for where the cache is.
const cacheVariable = "CTMATRIX_CACHE"

// catalog opens the kernels that the settings allow.
func (a *app) catalog(c *matrix.Config, progress kernel.Progress) (*kernel.Catalog, error) {
	return kernel.New(a.catalogOptions(c, progress))
}

func (a *app) catalogOptions(c *matrix.Config, progress kernel.Progress) kernel.Options {
	return kernel.Options{
		CacheDir:        os.Getenv(cacheVariable),
		Mirror:          c.Mirror,
		SecurityMirror:  c.SecurityMirror,
		Suites:          orNil(c.Suites),
		Keyring:         c.Keyring,
		AllowUnverified: c.AllowUnverified,
		Progress:        progress,
		Warn:            a.warn,
		Verbose:         a.say,
	}
}

// orNil is the list, or nil if it is empty, which stands for the default.
func orNil(list []string) []string {
	if len(list) == 0 {
		return nil
	}
	return list
}

// hostOf is what this host has for guests. Memory that cannot be asked for does
// not limit them.
func hostOf() matrix.Host {
	free, err := sched.FreeMemoryMB()
	if err != nil {
		free = 0
	}
	return matrix.Host{CPUs: runtime.NumCPU(), MemoryMB: free}
}

// refError marks a malformed ref as an error of usage.
func refError(err error) error {
	if errors.Is(err, kernel.ErrBadRef) {
		return usage{err}
	}
	return err
}
