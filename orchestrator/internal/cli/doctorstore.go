package cli

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/ctmatrix/ctmatrix/images/kernel"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/matrix"
)

// Free space in the cache below which there is a word about it: what a kernel
// takes when it is downloaded and unpacked, and what a run of some does with their
// saved guests.
const (
	leastSpace = 512 << 20
	goodSpace  = 4 << 30
)

func (a *app) checkCache(_ context.Context, c *matrix.Config) finding {
	catalog, err := a.catalog(c, nil)
	if err != nil {
		return failed(err)
	}
	dir := catalog.Store().Dir()
	if err := writable(dir); err != nil {
		return finding{State: stateFail, Detail: err.Error(), Mend: "set " + cacheVariable + " to a directory that can be written"}
	}
	stored, err := catalog.Stored()
	if err != nil {
		return failed(err)
	}
	use, err := catalog.Store().Usage()
	if err != nil {
		return finding{State: stateFail, Detail: err.Error(), Mend: "set " + cacheVariable + " to a directory on a local disk"}
	}
	f := ok("%s: %s, %s; %s are free", dir, many(len(stored), "kernel"), orZero(size(use.Bytes)), size(use.Free))
	if use.Held > 0 {
		f.Detail += fmt.Sprintf("; %s held: another ctmatrix is at work", many(use.Held, "lock"))
	}
	switch mend := "`ctmatrix kernels gc --unused 24h` makes room, or set " + cacheVariable; {
	case use.Free < leastSpace:
		f.State, f.Mend = stateFail, mend
	case use.Free < goodSpace:
		f.State, f.Mend = stateWarn, mend
	}
	return f
}

// writable makes a directory, and a file in it that it takes away again.
func writable(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	probe := filepath.Join(dir, fmt.Sprintf(".doctor-%d", os.Getpid()))
	if err := os.WriteFile(probe, nil, 0o600); err != nil {
		return err
	}
	return os.Remove(probe)
}

func (a *app) checkKeyring(_ context.Context, c *matrix.Config) finding {
	catalog, err := a.catalog(c, nil)
	if err != nil {
		return failed(err)
	}
	n, err := catalog.Keys()
	if err != nil {
		return finding{State: stateFail, Detail: err.Error(), Mend: "name another with --keyring, or none for Debian's own"}
	}
	if c.Keyring != "" {
		return ok("%s in %s", many(n, "key"), c.Keyring)
	}
	return ok("%s, of this host and built in", many(n, "key"))
}

// checkMirror asks the mirror, however fresh what is kept of it is.
func (a *app) checkMirror(ctx context.Context, c *matrix.Config) finding {
	o := a.catalogOptions(c, nil)
	o.Refresh = true
	var mu sync.Mutex
	var warned []string
	o.Warn = func(msg string) {
		mu.Lock()
		defer mu.Unlock()
		warned = append(warned, msg)
	}
	catalog, err := kernel.New(o)
	if err != nil {
		return failed(err)
	}
	archive, err := catalog.Archive(ctx)
	if err != nil {
		return finding{State: stateFail, Detail: err.Error(), Mend: mendMirror(archive)}
	}
	trouble := warned // before what a ref leaves out is warned about
	all, err := catalog.Resolve(ctx, kernel.SchemeDebian+":*")
	if err != nil {
		return failed(err)
	}
	named := "named by settings"
	if archive.Named != "settings" {
		named = "found in " + archive.Named
	}
	now := time.Now()
	f := ok("%s, %s: %s, %s to %s; %s, signatures good", archive.Main, named,
		many(len(all), "kernel"), all[0].Version, all[len(all)-1].Version, many(len(archive.Suites), "suite"))
	if newest := archive.Newest(); newest.Name != "" {
		f.Detail += fmt.Sprintf(", the last of %s on %s", newest.Name, newest.Signed.UTC().Format(time.DateOnly))
	}
	if old := archive.Expired(now); len(old) > 0 {
		f.State, f.Mend = stateWarn, "name a mirror that is kept up with --mirror, or leave out suites that have ended with suites:"
		f.Detail += "; expired: " + strings.Join(old, ", ")
	}
	if len(trouble) > 0 {
		f.State, f.Mend = stateWarn, mendMirror(archive)
		f.Detail += "; " + strings.Join(trouble, "; ")
	}
	return f
}

func mendMirror(a kernel.Archive) string {
	if a.Main == "" {
		return "set mirror: in matrix.yaml, or --mirror URL"
	}
	return "see whether it answers and whose keys sign it, or name another with --mirror"
}

// many counts things: "1 key", "9 keys".
func many(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
