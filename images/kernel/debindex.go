package kernel

import (
	"cmp"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/ctmatrix/ctmatrix/images/kernel/apt"
)

// build is a kernel in the indexes: a candidate and the packages it is made of.
type build struct {
	Candidate
	parts []remote
	docs  remote // the package that holds its changelog
}

// maxPackage bounds a package that no index vouches for.
const maxPackage = 1 << 30

var (
	imageName = regexp.MustCompile(`^linux-image-([0-9].*?)(-unsigned)?$`)
	// partName is a dependency that a kernel split over packages has.
	partName = regexp.MustCompile(`^(linux-(?:binary|modules|base)-[0-9]\S*) \(= (\S+)\)$`)
	metaDep  = regexp.MustCompile(`^(linux-image-\S+)`)
)

// located is a package and the suite whose index names it.
type located struct {
	apt.Package
	suite *suiteData
}

// debIndex is all kernels of one architecture, oldest first.
type debIndex struct {
	arch   string
	builds []build
	suites []*suiteData
	known  map[[2]string]located // by name and version
}

// newDebIndex brings the suites' packages together. A version found twice, in
// two suites or signed and unsigned, is one build.
func newDebIndex(suites []*suiteData, arch string, now time.Time) *debIndex {
	x := &debIndex{arch: arch, suites: suites, known: map[[2]string]located{}}
	// What an index that has not expired says comes first.
	sorted := slices.Clone(suites)
	slices.SortStableFunc(sorted, func(a, b *suiteData) int {
		return cmp.Compare(b2i(a.expired(now)), b2i(b.expired(now)))
	})
	for _, d := range sorted {
		for _, p := range d.packages {
			key := [2]string{p.Name, p.Version}
			if _, ok := x.known[key]; !ok {
				x.known[key] = located{p, d}
			}
		}
	}
	seen := map[[2]string]bool{} // by flavour and version
	for _, unsigned := range []bool{false, true} {
		for _, d := range sorted {
			for _, p := range d.packages {
				c, ok := x.candidate(p, unsigned)
				if !ok || seen[[2]string{c.Flavour, c.Version}] {
					continue
				}
				seen[[2]string{c.Flavour, c.Version}] = true
				c.Suite = d.name
				if d.expired(now) {
					c.Warnings = []string{expiry(d)}
				}
				x.builds = append(x.builds, x.build(c, located{p, d}))
			}
		}
	}
	slices.SortFunc(x.builds, func(a, b build) int {
		return cmp.Or(CompareVersions(a.Version, b.Version), strings.Compare(a.Flavour, b.Flavour))
	})
	return x
}

func expiry(d *suiteData) string {
	return fmt.Sprintf("the index of %s expired on %s", d.name, d.state.ValidUntil.UTC().Format(time.DateOnly))
}

// candidate recognises the packages that stand for a kernel.
func (x *debIndex) candidate(p apt.Package, unsigned bool) (Candidate, bool) {
	m := imageName.FindStringSubmatch(p.Name)
	if m == nil || (m[2] != "") != unsigned {
		return Candidate{}, false
	}
	// linux-image-6.12-cloud-amd64 may depend on a kernel, and be none.
	if slices.ContainsFunc(p.Depends, metaDep.MatchString) {
		return Candidate{}, false
	}
	flavour, ok := flavourOf(m[1], x.arch)
	if !ok {
		return Candidate{}, false
	}
	upstream, series, ok := versionParts(p.Version)
	if !ok {
		return Candidate{}, false
	}
	return Candidate{
		Source: SchemeDebian, Version: p.Version, Upstream: upstream, Series: series,
		Release: m[1], Flavour: flavour, Arch: x.arch,
	}, true
}

// debianFlavour is an architecture's name in the names of its kernels, where it
// is not that of the architecture.
var debianFlavour = map[string]string{"ppc64el": "powerpc64le"}

// flavourOf tells a release's flavour by its ending.
func flavourOf(release, arch string) (string, bool) {
	arch = cmp.Or(debianFlavour[arch], arch)
	rest, ok := strings.CutSuffix(release, "-"+arch)
	if !ok {
		return "", false
	}
	for _, f := range []string{"cloud", "rt"} {
		if strings.HasSuffix(rest, "-"+f) {
			return f, true
		}
	}
	if i := strings.LastIndexByte(rest, '-'); i >= 0 && strings.Trim(rest[i+1:], "abcdefghijklmnopqrstuvwxyz") == "" {
		return "", false // a flavour that is not known: -64k, -bpo
	}
	return "generic", true
}

// suffix is the ending of the names of a flavour's packages.
func suffix(flavour, arch string) string {
	arch = cmp.Or(debianFlavour[arch], arch)
	if flavour == "generic" {
		return arch
	}
	return flavour + "-" + arch
}

// build finds the packages that hold a kernel's files.
func (x *debIndex) build(c Candidate, image located) build {
	b := build{Candidate: c}
	b.Verified = true
	b.docs = x.docs(c, image)
	deps := partsOf(image.Depends)
	if deps == nil {
		b.parts = []remote{indexed(image)}
		return b
	}
	siblings := []located{image}
	for _, d := range deps {
		if l, ok := x.find(d); ok {
			siblings = append(siblings, l)
		}
	}
	for _, d := range deps {
		if l, ok := x.find(d); ok {
			b.parts = append(b.parts, indexed(l))
			continue
		}
		b.parts = append(b.parts, beside(siblings, d, c.Arch))
		b.Verified = false
	}
	return b
}

// docs finds the package that holds a kernel's documents: since 6.18 it is
// linux-base, which the image package depends on, before that the image itself.
func (x *debIndex) docs(c Candidate, image located) remote {
	base := [2]string{"linux-base-" + c.Release, c.Version}
	if !slices.Contains(image.Depends, fmt.Sprintf("%s (= %s)", base[0], base[1])) {
		return indexed(image)
	}
	if l, ok := x.find(base); ok {
		return indexed(l)
	}
	return beside([]located{image}, base, c.Arch)
}

// partsOf returns the packages, by name and version, that a kernel is split
// over; nil where it is not. From 6.19 on the image package is empty and its
// files lie in others. In 6.18 it needs linux-base too, but for its documents.
func partsOf(depends []string) [][2]string {
	var deps [][2]string
	split := false
	for _, d := range depends {
		if m := partName.FindStringSubmatch(d); m != nil {
			deps = append(deps, [2]string{m[1], m[2]})
			split = split || !strings.HasPrefix(m[1], "linux-base-")
		}
	}
	if !split {
		return nil
	}
	return deps
}

// find looks a package up; an unsigned binary that an index vouches for is
// better than a signed one that none does.
func (x *debIndex) find(dep [2]string) (located, bool) {
	if l, ok := x.known[dep]; ok {
		return l, true
	}
	if rest, ok := strings.CutPrefix(dep[0], "linux-binary-"); ok {
		l, ok := x.known[[2]string{"linux-binary-unsigned-" + rest, dep[1]}]
		return l, ok
	}
	return located{}, false
}

func indexed(l located) remote {
	return remote{
		label: path.Base(l.Filename),
		urls:  []string{join(l.suite.base, l.Filename)},
		hash:  apt.Hash{Size: l.Size, SHA256: l.SHA256},
	}
}

// beside guesses where a package lies that no index names: where its siblings
// are, or where the unsigned source package's are.
func beside(siblings []located, dep [2]string, arch string) remote {
	r := remote{label: poolFile(dep[0], dep[1], arch), limit: maxPackage}
	add := func(base, dir string) {
		if u := join(base, dir+"/"+r.label); !slices.Contains(r.urls, u) {
			r.urls = append(r.urls, u)
		}
	}
	for _, l := range siblings {
		dir := path.Dir(l.Filename)
		add(l.suite.base, unsignedDir(dir, arch))
		add(l.suite.base, dir)
	}
	return r
}

// unsignedDir is the pool directory of the packages that need no signature:
// linux-signed-6.12-amd64 goes with linux-6.12.
func unsignedDir(dir, arch string) string {
	base := path.Base(dir)
	base = strings.TrimSuffix(base, "-"+arch)
	return path.Dir(dir) + "/" + strings.Replace(base, "linux-signed", "linux", 1)
}

// poolFile is a package's file name: an epoch is not part of it.
func poolFile(name, version, arch string) string {
	if _, v, ok := strings.Cut(version, ":"); ok {
		version = v
	}
	return name + "_" + version + "_" + arch + ".deb"
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}
