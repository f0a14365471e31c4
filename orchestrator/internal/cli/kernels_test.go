package cli

import (
	"bytes"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/ctmatrix/ctmatrix/images/kernel"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/render"
)

// shelf is a kernel of each kind.
func shelf(now time.Time) inventory {
	at := func(digest string, mib int64, ago time.Duration) *kernel.Stored {
		return &kernel.Stored{Digest: strings.Repeat(digest, 64), Size: mib << 20, Used: now.Add(-ago)}
	}
	packaged := func(version, release, flavour, suite string) kernel.Candidate {
		return kernel.Candidate{Source: "debian", Version: version, Release: release, Flavour: flavour, Arch: "amd64", Suite: suite, Verified: true}
	}
	unverified := packaged("7.1.13-1~bpo13+1", "7.1.13+deb13-cloud-amd64", "cloud", "trixie-backports")
	unverified.Verified = false
	gone := packaged("6.1.174-1~deb11u1", "6.1.0-0.deb11.49-cloud-amd64", "cloud", "bullseye-security")
	return inventory{now: now, all: []kernel.Info{
		{Candidate: packaged("6.1.172-1~deb11u1", "6.1.0-0.deb11.48-cloud-amd64", "cloud", "bullseye-security"), Offered: true, Download: 27 << 20},
		{Candidate: packaged("6.12.117-1~deb12u1", "6.12.117+deb12-cloud-amd64", "cloud", "bookworm-security"), Offered: true, Download: 33 << 20, Stored: at("a", 41, 3*time.Hour)},
		{Candidate: unverified, Offered: true},
		{Candidate: gone, Offered: true, Download: 28 << 20, Gone: true},
		{Candidate: packaged("6.1.140-1", "6.1.0-37-rt-amd64", "rt", "bookworm"), Stored: at("b", 53, 72*time.Hour)},
		{Candidate: kernel.Candidate{Source: "tree", Ref: "tree:/home/someone/src/linux/build/out", Version: "6.12.1-mine", Release: "6.12.1-mine"}, Stored: at("c", 5, time.Second)},
		{Candidate: kernel.Candidate{Source: "host", Ref: "host:6.9.1", Version: "6.9.1", Release: "6.9.1"}, Stored: at("c", 5, 5*time.Minute)},
	}}
}

func TestInventoryTable(t *testing.T) {
	const offered = 4
	for width, want := range map[int]string{
		80: `
VERSION             FROM               INDEX       DOWNLOAD  STORED  USED
6.1.172-1~deb11u1   bullseye-security  verified      27 MiB
6.12.117-1~deb12u1  bookworm-security  verified      33 MiB  41 MiB   3 h
7.1.13-1~bpo13+1    trixie-backports   unverified
6.1.174-1~deb11u1   bullseye-security  verified        gone

also in the store
VERSION       RELEASE            FROM                INDEX      STORED   USED
6.1.140-1 rt  6.1.0-37-rt-amd64  bookworm            verified   53 MiB    3 d
6.12.1-mine   6.12.1-mine        tree:…ux/build/out            5.0 MiB    now
6.9.1         6.9.1              host:                         5.0 MiB  5 min

4 offered · 3 stored, 99 MiB · 2 to fetch, 27 MiB and more
1 gone from the mirror, although its index names them
1 unverified, which a run takes only with --allow-unverified
`,
		160: `
VERSION             RELEASE                       FROM               INDEX       DOWNLOAD  STORED  USED  DIGEST
6.1.172-1~deb11u1   6.1.0-0.deb11.48-cloud-amd64  bullseye-security  verified      27 MiB
6.12.117-1~deb12u1  6.12.117+deb12-cloud-amd64    bookworm-security  verified      33 MiB  41 MiB   3 h  aaaaaaaaaaaa
7.1.13-1~bpo13+1    7.1.13+deb13-cloud-amd64      trixie-backports   unverified
6.1.174-1~deb11u1   6.1.0-0.deb11.49-cloud-amd64  bullseye-security  verified        gone

also in the store
VERSION      FLAVOUR  RELEASE            FROM                                    INDEX      STORED   USED  DIGEST
6.1.140-1    rt       6.1.0-37-rt-amd64  bookworm                                verified   53 MiB    3 d  bbbbbbbbbbbb
6.12.1-mine           6.12.1-mine        tree:/home/someone/src/linux/build/out            5.0 MiB    now  cccccccccccc
6.9.1                 6.9.1              host:                                             5.0 MiB  5 min  cccccccccccc

4 offered · 3 stored, 99 MiB · 2 to fetch, 27 MiB and more
1 gone from the mirror, although its index names them
1 unverified, which a run takes only with --allow-unverified
`,
	} {
		var b bytes.Buffer
		now := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
		if err := shelf(now).write(&b, render.Options{Width: width}, offered, false); err != nil {
			t.Fatal(err)
		}
		if got := b.String(); got != strings.TrimPrefix(want, "\n") {
			t.Errorf("%d columns:\n%s\nwant\n%s", width, got, want)
		}
	}
}

// Whatever the width is, nothing folds that a narrower table could spare.
func TestInventoryWidths(t *testing.T) {
	for width := 60; width <= 200; width++ {
		var b bytes.Buffer
		if err := shelf(time.Now()).write(&b, render.Options{Width: width}, 4, false); err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(b.String()) {
			if n := utf8.RuneCountInString(strings.TrimRight(line, "\n")); n > width {
				t.Errorf("%d columns: a line of %d: %s", width, n, line)
			}
		}
		if !strings.Contains(b.String(), "6.12.117-1~deb12u1") {
			t.Errorf("%d columns: a version is folded:\n%s", width, b.String())
		}
	}
}
