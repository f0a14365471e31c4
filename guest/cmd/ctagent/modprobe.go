package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/ctmatrix/ctmatrix/guest/internal/modules"
)

// modprobeCommand is the name of a link by which the kernel, and a person at a
// shell, call the agent to have modules loaded. Only images with programs in them
// have it: probes load what they need themselves.
const modprobeCommand = "modprobe"

const modprobeUsage = usageError("usage: modprobe [-q] MODULE|ALIAS... | modprobe -r MODULE...")

// probing is what modprobe was asked for.
type probing struct {
	names  []string
	remove bool
	quiet  bool // what is not there is no error
}

// parseModprobe reads modprobe's arguments. The kernel says "-q -- NAME".
func parseModprobe(args []string) (probing, error) {
	var p probing
	for i, arg := range args {
		switch arg {
		case "--":
			p.names = append(p.names, args[i+1:]...)
			return p, p.check()
		case "-q", "--quiet":
			p.quiet = true
		case "-r", "--remove":
			p.remove = true
		case "-a", "--all", "-v", "--verbose":
		default:
			if strings.HasPrefix(arg, "-") {
				return p, modprobeUsage
			}
			p.names = append(p.names, arg)
		}
	}
	return p, p.check()
}

func (p probing) check() error {
	if len(p.names) == 0 {
		return modprobeUsage
	}
	for _, name := range p.names {
		if strings.ContainsRune(name, '=') {
			return usageError(fmt.Sprintf("modprobe: %s: parameters of modules are read from the kernel's command line, as MODULE.PARAMETER=VALUE; see --append", name))
		}
	}
	return nil
}

// moduleLoader is what modprobe needs of a modules.Loader.
type moduleLoader interface {
	Has(name string) bool
	Load(names ...string) error
	Unload(name string) error
}

// run loads or unloads the modules. Of those that an alias stands for all are
// tried, and one is enough.
func (p probing) run(l moduleLoader, aliases modules.Aliases) error {
	var errs []error
	for _, name := range p.names {
		switch {
		case p.remove:
			errs = append(errs, l.Unload(name))
		case l.Has(name):
			errs = append(errs, l.Load(name))
		default:
			err := p.loadAlias(l, name, aliases.Find(name))
			if !p.quiet || !errors.Is(err, modules.ErrMissing) {
				errs = append(errs, err)
			}
		}
	}
	return errors.Join(errs...)
}

func (p probing) loadAlias(l moduleLoader, name string, found []string) error {
	if len(found) == 0 {
		return l.Load(name) // which says what is missing
	}
	var errs []error
	for _, m := range found {
		errs = append(errs, l.Load(m))
	}
	for _, err := range errs {
		if err == nil {
			return nil
		}
	}
	return errors.Join(errs...)
}

func modprobe(args []string) error {
	p, err := parseModprobe(args)
	if err != nil {
		return err
	}
	loader, err := modules.Open()
	if err != nil {
		return err
	}
	aliases, err := modules.OpenAliases()
	if err != nil {
		return err
	}
	return p.run(loader, aliases)
}
