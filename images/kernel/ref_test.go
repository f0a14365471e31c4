package kernel

import (
	"errors"
	"strings"
	"testing"
)

func TestParseRef(t *testing.T) {
	for in, want := range map[string]Ref{
		"debian:6.1":                        {Scheme: "debian", Value: "6.1"},
		"debian:6.12.*":                     {Scheme: "debian", Value: "6.12.*"},
		"debian:7.3.4-1~bpo13+1?flavour=rt": {Scheme: "debian", Value: "7.3.4-1~bpo13+1", Flavour: "rt"},
		"debian:*?arch=arm64&flavour=cloud": {Scheme: "debian", Value: "*", Flavour: "cloud", Arch: "arm64"},
		"debian:trixie-backports":           {Scheme: "debian", Value: "trixie-backports"},
		"debian:6.1.0-37_6.1.140-1":         {Scheme: "debian", Value: "6.1.0-37_6.1.140-1"},
		"debian:7.3~rc7":                    {Scheme: "debian", Value: "7.3~rc7"},
		"dir:/boot/with:colon":              {Scheme: "dir", Value: "/boot/with:colon"},
		"dir:relative path":                 {Scheme: "dir", Value: "relative path"},
	} {
		got, err := ParseRef(in)
		want.text = in
		if err != nil || got != want || got.String() != in {
			t.Errorf("ParseRef(%q) = %+v, %v", in, got, err)
		}
	}
}

func TestParseRefErrors(t *testing.T) {
	for in, want := range map[string]string{
		"":                                 "write debian: or dir:PATH",
		"6.1":                              "write debian:6.1 or dir:PATH",
		"ftp:/src/linux":                   `unknown scheme "ftp"; there are debian, dir, tree, host`,
		"tree:":                            "nothing after tree:",
		"host:../x":                        `"../x" is no release; write host: for the running kernel, or host:RELEASE`,
		"debian:":                          "nothing after debian:",
		"dir:":                             "nothing after dir:",
		"debian:6":                         selectorHelp,
		"debian:6.1 ":                      selectorHelp,
		"debian:6.x":                       selectorHelp,
		"debian:Trixie":                    selectorHelp,
		"debian:6.12..6.1":                 "the range is empty; write 6.1..6.12",
		"debian:6.1..":                     "bad range",
		"debian:6.1?flavour=huge":          `unknown flavour "huge"; there are cloud, generic, rt`,
		"debian:6.1?arch=x86":              `unknown arch "x86"; there are amd64, `,
		"debian:6.1?flavor=rt":             `unknown option "flavor"; there are flavour and arch`,
		"debian:6.1?arch=amd64&arch=arm64": "option arch is given twice",
		"debian:6.1?%zz":                   "write ?flavour=NAME&arch=NAME",
		"debian:6.1\n":                     "control characters",
		"dir:" + strings.Repeat("x", 5000): "too long",
	} {
		_, err := ParseRef(in)
		if err == nil || !errors.Is(err, ErrBadRef) || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("ParseRef(%.40q): %v\nwant %s", in, err, want)
		}
	}
}

// What a parsed ref says of itself is parsed to the same ref.
func FuzzParseRef(f *testing.F) {
	for _, s := range []string{
		"debian:6.1", "debian:6.1.192-2?flavour=rt&arch=arm64", "debian:6.1..6.12", "debian:*", "debian:6.12.*",
		"debian:trixie", "dir:/boot", "debian:6.1.0-37_6.1.140-1", "tree:/x", "debian:6.1?", "debian:7.3~rc7-1~exp1",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		r, err := ParseRef(s)
		if err != nil {
			if !errors.Is(err, ErrBadRef) || strings.ContainsAny(err.Error(), "\n\r\x00") {
				t.Fatalf("%q: error %q", s, err)
			}
			return
		}
		bare := r
		bare.text = ""
		again, err := ParseRef(bare.String())
		if r.Scheme == SchemeDir && strings.Contains(r.Value, "?") {
			return
		}
		if err != nil || again.Scheme != r.Scheme || again.Value != r.Value {
			t.Fatalf("%q became %q: %+v, %v", s, bare.String(), again, err)
		}
	})
}

func TestVersionParts(t *testing.T) {
	for v, want := range map[string][2]string{
		"6.1.192-2":          {"6.1.192", "6.1"},
		"6.12.117-1~deb12u1": {"6.12.117", "6.12"},
		"7.3~rc7-1~exp1":     {"7.3~rc7", "7.3"},
		"7.3.4-1~bpo13+1":    {"7.3.4", "7.3"},
		"7.3-1":              {"7.3", "7.3"},
		"4.11":               {"4.11", "4.11"},
		"5.10.218+1-1":       {"5.10.218+1", "5.10"},
	} {
		upstream, series, ok := versionParts(v)
		if !ok || upstream != want[0] || series != want[1] {
			t.Errorf("versionParts(%q) = %q, %q, %v", v, upstream, series, ok)
		}
	}
	for _, v := range []string{"", "6", "abc", "6.x-1", "1:6.1.2-1", "-1"} {
		if u, s, ok := versionParts(v); ok {
			t.Errorf("versionParts(%q) = %q, %q", v, u, s)
		}
	}
}

func TestCompareVersions(t *testing.T) {
	ordered := []string{
		"5.9-1", "5.10.218-1", "6.1.176-1~deb11u1", "6.1.176-1", "6.1.192-1", "6.1.192-2", "6.12.43-1~bpo12+1",
		"7.3~rc7-1~exp1", "7.3-1", "7.3.4-1~bpo13+1", "7.3.4-1",
	}
	for i := range ordered {
		for j := range ordered {
			got := CompareVersions(ordered[i], ordered[j])
			if (got < 0) != (i < j) || (got > 0) != (i > j) {
				t.Errorf("compare(%s, %s) = %d", ordered[i], ordered[j], got)
			}
		}
	}
	if compareSeries("5.9", "5.10") >= 0 || compareSeries("6.19", "6.19") != 0 || compareSeries("7.0", "6.19") <= 0 {
		t.Error("series are in the wrong order")
	}
}

func TestFlavourOf(t *testing.T) {
	for _, c := range []struct{ release, arch, want string }{
		{"6.1.0-56-cloud-amd64", "amd64", "cloud"},
		{"6.1.0-56-amd64", "amd64", "generic"},
		{"6.1.0-0.deb11.52-rt-amd64", "amd64", "rt"},
		{"7.3-amd64", "amd64", "generic"},
		{"6.12.117+deb13-arm64", "arm64", "generic"},
		{"6.12.117+deb13-arm64-16k", "arm64", ""},
		{"6.12.117+deb13-powerpc64le", "ppc64el", "generic"},
		{"6.12.117+deb13-strange-amd64", "amd64", ""},
		{"6.12.117+deb13-cloud-amd64", "arm64", ""},
	} {
		got, ok := flavourOf(c.release, c.arch)
		if got != c.want || ok != (c.want != "") {
			t.Errorf("flavourOf(%q, %q) = %q, %v", c.release, c.arch, got, ok)
		}
	}
}

func TestUnsignedDir(t *testing.T) {
	for in, want := range map[string]string{
		"pool/main/l/linux-signed-amd64":              "pool/main/l/linux",
		"pool/updates/main/l/linux-signed-6.12-amd64": "pool/updates/main/l/linux-6.12",
		"pool/main/l/linux":                           "pool/main/l/linux",
	} {
		if got := unsignedDir(in, "amd64"); got != want {
			t.Errorf("unsignedDir(%q) = %q, want %q", in, got, want)
		}
	}
}
