package kernel

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/ctmatrix/ctmatrix/images/kernel/store"
	"github.com/ctmatrix/ctmatrix/images/kernel/unpack"
)

// configDocs are configurations of kernels that were stored without, by digest.
// A kernel's digest is not over its configuration, which only tells how it came
// to be what it is: what is stored stays the same kernel when one turns up.
const configDocs = "configs"

// configOfModules looks for a configuration in the modules directory of a
// release: beside the modules, where kernel-install(8) and its kin put it, else
// in the tree or the headers that they were built with, if these still are of
// that release. It is "" where there is none.
func configOfModules(dir, release string) string {
	if name := filepath.Join(dir, "config"); isRegular(name) {
		return name
	}
	build := filepath.Join(dir, "build")
	data, err := readSmall(filepath.Join(build, filepath.FromSlash(releaseFile)), 4096)
	if err != nil {
		return ""
	}
	name := filepath.Join(build, ".config")
	if rel, ok := parseKernelRelease(data); !ok || rel != release || !isRegular(name) {
		return ""
	}
	return name
}

func isRegular(name string) bool {
	info, err := os.Stat(name)
	return err == nil && info.Mode().IsRegular()
}

// keepConfig makes up for a kernel that had no configuration when it was stored
// and has one now.
func (k localKernel) keepConfig(s *store.Store, to *Kernel) error {
	at := slices.IndexFunc(k.files, func(f localFile) bool { return f.dst == configFile })
	if to.Config != "" || at < 0 {
		return nil
	}
	name := k.files[at].path
	f, err := os.Open(name)
	if err != nil {
		return fmt.Errorf("keep configuration: %w", err)
	}
	defer f.Close() // only read
	r, err := unpack.Reader(name, f)
	if err != nil {
		return fmt.Errorf("keep configuration: %w", err)
	}
	defer r.Close() // only read
	text, err := readAtMost(r, maxConfig)
	if err != nil {
		return fmt.Errorf("keep configuration: %s: %w", name, err)
	}
	if err := s.PutDoc(configDocs, to.Digest, text); err != nil {
		return err
	}
	to.Config = s.DocFile(configDocs, to.Digest)
	return nil
}
