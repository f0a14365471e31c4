package results

import (
	"cmp"
	"regexp"

	debversion "github.com/knqyf263/go-deb-version"
)

var leadingSeries = regexp.MustCompile(`^[0-9]+\.[0-9]+`)

// SeriesOf is the stable series of a version or a release: "6.1" of "6.1.192-2".
// It is "" for what does not begin as one.
func SeriesOf(version string) string { return leadingSeries.FindString(version) }

// VersionName is the version of the kernel, or as much as is known of one.
func (k Kernel) VersionName() string { return cmp.Or(k.Version, k.Release, k.Label, k.Ref) }

// SeriesName is the stable series of the kernel, or as much as is known of one.
func (k Kernel) SeriesName() string {
	if k.Series != "" { // as of nearly all: the others are looked at more closely
		return k.Series
	}
	return cmp.Or(SeriesOf(k.VersionName()), k.VersionName())
}

// candidate is how upstream writes what Debian writes as ~rc: 6.17-rc3, and in a
// release's name 6.17.0-rc3.
var candidate = regexp.MustCompile(`(?:\.0)?-rc([0-9])`)

// CompareVersions compares as Debian does, 7.3~rc7 before 7.3. What Debian
// would not call a version comes first, byte by byte.
func CompareVersions(a, b string) int {
	va, errA := debversion.NewVersion(candidate.ReplaceAllString(a, "~rc$1"))
	vb, errB := debversion.NewVersion(candidate.ReplaceAllString(b, "~rc$1"))
	switch {
	case errA != nil && errB != nil:
		return cmp.Compare(a, b)
	case errA != nil:
		return -1
	case errB != nil:
		return 1
	}
	return va.Compare(vb)
}
