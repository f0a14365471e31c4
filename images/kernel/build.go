package kernel

import (
	"bytes"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/ctmatrix/ctmatrix/images/kconfig"
)

// builtImages are what QEMU boots of a build tree, by Debian's name of the
// architecture, the best first. See KBUILD_IMAGE in arch/*/Makefile.
var builtImages = map[string][]string{
	"amd64":   {"arch/x86/boot/bzImage"},
	"arm64":   {"arch/arm64/boot/Image", "arch/arm64/boot/vmlinuz.efi"},
	"loong64": {"arch/loongarch/boot/vmlinux.efi", "arch/loongarch/boot/vmlinuz.efi"},
	"ppc64el": {"vmlinux"},
	"riscv64": {"arch/riscv/boot/Image"},
	"s390x":   {"arch/s390/boot/bzImage"},
}

const (
	releaseFile = "include/config/kernel.release"
	orderFile   = "modules.order"
	maxOrder    = 16 << 20
	maxConfig   = 16 << 20
)

// buildTree is a kernel's build tree, or the output directory of make O=.
type buildTree struct {
	dir     string
	arch    string
	release string
	config  kconfig.Config
	image   string
}

// findTree looks for a kernel that was built in dir.
func findTree(dir, arch string) (localKernel, error) {
	b := buildTree{dir: dir, arch: arch}
	k, err := b.find()
	if err != nil {
		return localKernel{}, fmt.Errorf("%w in %s: %w", ErrUnknown, dir, err)
	}
	return k, nil
}

func (b *buildTree) find() (localKernel, error) {
	if err := isDir(b.dir); err != nil {
		return localKernel{}, err
	}
	for _, step := range []func() error{b.readConfig, b.readRelease, b.findImage} {
		if err := step(); err != nil {
			return localKernel{}, err
		}
	}
	k := localKernel{
		release: b.release,
		files:   []localFile{{imageFile, b.image}, {configFile, b.path(".config")}},
	}
	modules, err := b.modules()
	if err != nil {
		return localKernel{}, err
	}
	// All that the suite wants may be part of the image.
	k.whole = !slices.ContainsFunc(modules, func(f localFile) bool { return path.Ext(f.dst) == ".ko" })
	k.files = append(k.files, modules...)
	return k, nil
}

func (b *buildTree) path(name string) string { return filepath.Join(b.dir, filepath.FromSlash(name)) }

// make is the command that mends what is missing.
func (b *buildTree) make(target string) string {
	return strings.TrimSpace("`make -C "+b.dir+" "+target) + "`"
}

func (b *buildTree) readConfig() error {
	data, err := readSmall(b.path(".config"), maxConfig)
	if errors.Is(err, fs.ErrNotExist) {
		if b.has("Kbuild") && b.has("Kconfig") {
			return errors.New("a kernel's source that is not configured: no .config; build it, or name the directory that make O= wrote to")
		}
		return errors.New("not a kernel's build tree: no .config; for a vmlinuz and its modules write dir:")
	}
	if err != nil {
		return fmt.Errorf("read .config: %w", plainError(err))
	}
	if b.config, err = kconfig.Parse(bytes.NewReader(data)); err != nil {
		return fmt.Errorf(".config: %w", err)
	}
	if b.arch == "amd64" && b.config["CONFIG_X86"] == "y" && b.config["CONFIG_64BIT"] != "y" {
		return fmt.Errorf("configured for 32 bits; set CONFIG_64BIT=y and run %s", b.make(""))
	}
	return nil
}

func (b *buildTree) readRelease() error {
	data, err := readSmall(b.path(releaseFile), 4096)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("configured, but not built: no %s; run %s", releaseFile, b.make(""))
	}
	if err != nil {
		return fmt.Errorf("read %s: %w", releaseFile, plainError(err))
	}
	rel, ok := parseKernelRelease(data)
	if !ok {
		return fmt.Errorf("%s holds no release: %.40q; run %s", releaseFile, data, b.make(""))
	}
	b.release = rel
	return nil
}

func (b *buildTree) findImage() error {
	names := builtImages[b.arch]
	for _, n := range names {
		if !b.has(n) {
			continue
		}
		b.image = b.path(n)
		if b.arch != "amd64" {
			return nil
		}
		switch rel, err := imageRelease(b.image); {
		case err != nil:
			return err
		case rel != b.release:
			return fmt.Errorf("%s is of %s, but the tree of %s; run %s", n, rel, b.release, b.make(""))
		}
		return nil
	}
	return fmt.Errorf("not built for %s: no %s; run %s", b.arch, strings.Join(names, ", "), b.make(""))
}

func (b *buildTree) has(name string) bool {
	info, err := os.Stat(b.path(name))
	return err == nil && info.Mode().IsRegular()
}

// modules lists the kept files at the places where make modules_install would
// put them: see scripts/Makefile.modinst.
func (b *buildTree) modules() ([]localFile, error) {
	var files []localFile
	for _, n := range []string{"modules.builtin", "modules.builtin.modinfo"} {
		if b.has(n) {
			files = append(files, localFile{modulesTree + "/" + n, b.path(n)})
		}
	}
	if b.config["CONFIG_MODULES"] != "y" {
		return files, nil
	}
	order, err := readSmall(b.path(orderFile), maxOrder)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("its modules are not built: no %s; run %s", orderFile, b.make("modules"))
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", orderFile, plainError(err))
	}
	names, err := parseModulesOrder(order)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", orderFile, err)
	}
	for _, n := range names {
		if n, err = b.builtModule(n); err != nil {
			return nil, err
		}
		if dst := "kernel/" + n; keeps(dst) {
			if err := b.checkModule(n); err != nil {
				return nil, err
			}
			files = append(files, localFile{modulesTree + "/" + dst, b.path(n)})
		}
	}
	return files, nil
}

// builtModule returns where a module lies that modules.order names. It once named
// modules as they are installed, below kernel/ (until "kbuild: get rid of kernel/
// prefix from in-tree modules.{order,builtin}", 5.3), and kernel/ is a directory
// of the tree as well.
func (b *buildTree) builtModule(name string) (string, error) {
	if b.has(name) {
		return name, nil
	}
	if rest, ok := strings.CutPrefix(name, "kernel/"); ok && b.has(rest) {
		return rest, nil
	}
	return "", fmt.Errorf("module %s, which %s names, is missing; run %s", name, orderFile, b.make("modules"))
}

// checkModule makes sure that a module goes with the image.
func (b *buildTree) checkModule(name string) error {
	magic, err := vermagic(b.path(name))
	if err != nil {
		return fmt.Errorf("module %s: %w; run %s", name, err, b.make("modules"))
	}
	if magic != b.release {
		return fmt.Errorf("module %s is of %s, but the image of %s; run %s", name, magic, b.release, b.make("modules"))
	}
	return nil
}

// vermagic returns the release that a module is of: the first word of what
// include/linux/vermagic.h makes of it.
func vermagic(name string) (string, error) {
	f, err := elf.Open(name)
	if err != nil {
		return "", fmt.Errorf("not a module: %w", plainError(err))
	}
	defer f.Close() // only read
	s := f.Section(".modinfo")
	if s == nil || s.Size > 1<<20 {
		return "", errors.New("not a module: no .modinfo")
	}
	data, err := s.Data()
	if err != nil {
		return "", fmt.Errorf("read .modinfo: %w", err)
	}
	for _, entry := range bytes.Split(data, []byte{0}) {
		if v, ok := bytes.CutPrefix(entry, []byte("vermagic=")); ok {
			release, _, _ := bytes.Cut(v, []byte(" "))
			return string(release), nil
		}
	}
	return "", errors.New("it does not say which kernel it is of")
}

// parseModulesOrder reads modules.order: a path a line, which ends in .ko, in
// newer trees in .o. It returns the paths of the .ko files, sorted, each once.
func parseModulesOrder(data []byte) ([]string, error) {
	var names []string
	for line := range strings.Lines(string(data)) {
		line = strings.TrimSpace(line)
		if line == "" {
			continue
		}
		name, ok := strings.CutSuffix(line, ".ko")
		if !ok {
			name, ok = strings.CutSuffix(line, ".o")
		}
		if !ok || !fs.ValidPath(name) || strings.ContainsAny(name, "\\\x00") {
			return nil, fmt.Errorf("%.80q is no module", line)
		}
		names = append(names, name+".ko")
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

// parseKernelRelease reads include/config/kernel.release: what uname -r says.
func parseKernelRelease(data []byte) (string, bool) {
	rel := strings.TrimRight(string(data), "\n")
	return rel, plainRelease(rel)
}

// plainRelease reports whether a string can be a release: a word that is a file
// name, of at most 64 bytes (__NEW_UTS_LEN in include/uapi/linux/utsname.h).
func plainRelease(s string) bool {
	ok := func(r rune) bool {
		return r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || strings.ContainsRune("._+~-", r)
	}
	return len(s) <= 64 && releaseForm.MatchString(s) && !strings.ContainsFunc(s, func(r rune) bool { return !ok(r) })
}

// readSmall reads a file of at most limit bytes.
func readSmall(name string, limit int64) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close() // only read
	return readAtMost(f, limit)
}

func readAtMost(r io.Reader, limit int64) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(data)) > limit {
		return nil, fmt.Errorf("more than %d bytes", limit)
	}
	return data, nil
}
