package apt

import (
	"bytes"
	"crypto"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/clearsign"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
	"github.com/google/go-cmp/cmp"
)

const someRelease = `Origin: Debian
Suite: stable
Codename: trixie
Date: Sat, 21 Nov 2026 00:53:03 UTC
Valid-Until: Sat, 28 Nov 2026 00:53:03 UTC
Acquire-By-Hash: yes
MD5Sum:
 58bc30204c16e9a8aa57f9362ecc0d03  2262389 main/binary-amd64/Packages
SHA256:
 ` + someHash + `  2262389 main/binary-amd64/Packages
 ` + someHash + `       20 main/binary-amd64/Packages.gz
`

var now = time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)

func at(t time.Time) func() time.Time { return func() time.Time { return t } }

// newKey makes a key of some time ago that lives for some time; 0 is for ever.
func newKey(t testing.TB, created time.Time, life time.Duration) *openpgp.Entity {
	t.Helper()
	k, err := openpgp.NewEntity("archive", "", "archive@example.org", &packet.Config{
		Algorithm: packet.PubKeyAlgoEdDSA, Time: at(created), KeyLifetimeSecs: uint32(life / time.Second),
	})
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// ring is what a keyring file with the keys is read as.
func ring(t testing.TB, keys ...*openpgp.Entity) Keyring {
	t.Helper()
	k, err := ReadKeyring(ringFile(t, keys...))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func ringFile(t testing.TB, keys ...*openpgp.Entity) []byte {
	t.Helper()
	var b bytes.Buffer
	for _, k := range keys {
		if err := k.Serialize(&b); err != nil {
			t.Fatal(err)
		}
	}
	return b.Bytes()
}

func sign(t testing.TB, text string, c *packet.Config, keys ...*openpgp.Entity) []byte {
	t.Helper()
	var private []*packet.PrivateKey
	for _, k := range keys {
		private = append(private, k.PrivateKey)
	}
	var b bytes.Buffer
	w, err := clearsign.EncodeMulti(&b, private, c)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(w, text); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return append(b.Bytes(), '\n')
}

func signedAt(when time.Time) *packet.Config {
	return &packet.Config{Time: at(when), DefaultHash: crypto.SHA256}
}

func TestReadInRelease(t *testing.T) {
	key := newKey(t, now.AddDate(-5, 0, 0), 0)
	data := sign(t, someRelease, signedAt(now.AddDate(0, 0, -1)), key)
	got, err := ReadInRelease(data, ring(t, key), now)
	if err != nil {
		t.Fatal(err)
	}
	want := &Release{
		Suite: "stable", Codename: "trixie", AcquireByHash: true,
		Date:       time.Date(2026, 11, 21, 0, 53, 3, 0, time.UTC),
		ValidUntil: time.Date(2026, 11, 28, 0, 53, 3, 0, time.UTC),
		Files: map[string]Hash{
			"main/binary-amd64/Packages":    {Size: 2262389, SHA256: someHash},
			"main/binary-amd64/Packages.gz": {Size: 20, SHA256: someHash},
		},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
	if got.Expired(now) || !got.Expired(now.AddDate(0, 0, 7)) || (&Release{}).Expired(now) {
		t.Error("expiry is wrong")
	}
	if !got.Is("stable") || !got.Is("trixie") || got.Is("bookworm") {
		t.Error("names are wrong")
	}
}

// The policy on keys, one case a sentence of ReadInRelease's comment.
func TestPolicy(t *testing.T) {
	signed := now.AddDate(0, -1, 0)
	good := newKey(t, now.AddDate(-5, 0, 0), 0)
	other := newKey(t, now.AddDate(-5, 0, 0), 0)
	expiredSince := newKey(t, signed.AddDate(-1, 0, 0), 370*24*time.Hour)
	expiredBefore := newKey(t, signed.AddDate(-2, 0, 0), 365*24*time.Hour)
	younger := newKey(t, signed.AddDate(0, 0, 10), 0)
	revoked := newKey(t, now.AddDate(-5, 0, 0), 0)
	if err := revoked.RevokeKey(packet.KeySuperseded, "", signedAt(now)); err != nil {
		t.Fatal(err)
	}
	short := signedAt(signed)
	short.SigLifetimeSecs = 3600
	for name, c := range map[string]struct {
		data []byte
		ring Keyring
		want string // part of the error; "" means that it is good
	}{
		"good":                       {sign(t, someRelease, signedAt(signed), good), ring(t, good), ""},
		"one of two":                 {sign(t, someRelease, signedAt(signed), other, good), ring(t, good), ""},
		"key has expired since":      {sign(t, someRelease, signedAt(signed), expiredSince), ring(t, expiredSince), ""},
		"key had expired":            {sign(t, someRelease, signedAt(signed), expiredBefore), ring(t, expiredBefore), "had expired when it signed"},
		"key is younger":             {sign(t, someRelease, signedAt(signed), younger), ring(t, younger), "had expired when it signed"},
		"key is revoked":             {sign(t, someRelease, signedAt(signed), revoked), ring(t, revoked), "is revoked"},
		"key is not known":           {sign(t, someRelease, signedAt(signed), other), ring(t, good), "is not in the keyring"},
		"signature has expired":      {sign(t, someRelease, short, good), ring(t, good), "has expired"},
		"signature from tomorrow":    {sign(t, someRelease, signedAt(now.AddDate(0, 0, 3)), good), ring(t, good), "in the future"},
		"a clock that is some hours": {sign(t, someRelease, signedAt(now.Add(5*time.Hour)), good), ring(t, good), ""},
	} {
		_, err := ReadInRelease(c.data, c.ring, now)
		switch {
		case c.want == "" && err != nil:
			t.Errorf("%s: %v", name, err)
		case c.want != "" && (!errors.Is(err, ErrSignature) || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n")):
			t.Errorf("%s: %v\nwant %s", name, err, c.want)
		}
	}
}

func TestTampered(t *testing.T) {
	key := newKey(t, now.AddDate(-5, 0, 0), 0)
	good := sign(t, someRelease, signedAt(now.AddDate(0, 0, -1)), key)
	for name, data := range map[string][]byte{
		"another hash": bytes.Replace(good, []byte("704dae7d"), []byte("704dae7e"), 1),
		"text before":  append([]byte("Suite: evil\n\n"), good...),
		"text after":   append(bytes.Clone(good), "Suite: evil\n"...),
		"twice":        append(bytes.Clone(good), good...),
		"not signed":   []byte(someRelease),
		"empty":        nil,
		"cut off":      good[:len(good)-60],
		"no signature": bytes.Replace(good, good[bytes.Index(good, []byte("-----BEGIN PGP SIGNATURE")):], []byte("-----BEGIN PGP SIGNATURE-----\n\n-----END PGP SIGNATURE-----\n"), 1),
	} {
		if _, err := ReadInRelease(data, ring(t, key), now); !errors.Is(err, ErrSignature) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestParseReleaseErrors(t *testing.T) {
	for name, text := range map[string]string{
		"empty":          "",
		"no hashes":      "Suite: stable\n",
		"two paragraphs": someRelease + "\n" + someRelease,
		"bad date":       strings.Replace(someRelease, "Sat, 21 Nov", "21 November", 1),
		"bad hash":       strings.Replace(someRelease, someHash, "abc", 1),
		"bad size":       strings.Replace(someRelease, someHash+"  2262389", someHash+"  many", 1),
		"no name":        strings.Replace(someRelease, "20 main/binary-amd64/Packages.gz", "20", 1),
		"no colon":       "nonsense\n" + someRelease,
	} {
		if _, err := ParseRelease([]byte(text)); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestLoadKeyring(t *testing.T) {
	key := newKey(t, now.AddDate(-5, 0, 0), 0)
	dir := t.TempDir()
	file := func(name string, data []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, data, 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	var armored bytes.Buffer
	w, err := armor.Encode(&armored, openpgp.PublicKeyType, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(ringFile(t, key)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	data := sign(t, someRelease, signedAt(now), key)
	for name, load := range map[string]func() (Keyring, error){
		"binary":  func() (Keyring, error) { return LoadKeyring(file("a.gpg", ringFile(t, key)), nil) },
		"armored": func() (Keyring, error) { return LoadKeyring(file("a.asc", armored.Bytes()), nil) },
		"of the host": func() (Keyring, error) {
			return LoadKeyring("", []string{filepath.Join(dir, "absent"), file("a.gpg", ringFile(t, key))})
		},
	} {
		k, err := load()
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if _, err := ReadInRelease(data, k, now); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if k, err := LoadKeyring("", nil); err != nil || len(k.entities) < 5 {
		t.Errorf("built-in: %d keys, %v", len(k.entities), err)
	}
	for name, path := range map[string]string{
		"absent": filepath.Join(dir, "absent"), "empty": file("empty", nil), "text": file("text", []byte("no keys here")),
	} {
		if _, err := LoadKeyring(path, nil); err == nil || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzReadInRelease(f *testing.F) {
	key := newKey(f, now.AddDate(-5, 0, 0), 0)
	keys := ring(f, key)
	f.Add(sign(f, someRelease, signedAt(now), key))
	f.Add(sign(f, "Suite: x\n- dashes\n", signedAt(now), newKey(f, now.AddDate(-1, 0, 0), 0)))
	f.Add([]byte("-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\nx\n-----BEGIN PGP SIGNATURE-----\n\n-----END PGP SIGNATURE-----\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := ReadInRelease(data, keys, now)
		if err != nil {
			return
		}
		// The only text that the key ever signed.
		if want, _ := ParseRelease([]byte(someRelease)); !cmp.Equal(want, r) {
			t.Fatalf("a forged release passed: %+v", r)
		}
	})
}

func FuzzParseRelease(f *testing.F) {
	f.Add([]byte(someRelease))
	f.Add([]byte("SHA256:\n a b c\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := ParseRelease(data)
		if err != nil {
			return
		}
		for name, h := range r.Files {
			if name == "" || len(h.SHA256) != 64 || h.Size < 0 {
				t.Fatalf("%q: %+v", name, h)
			}
		}
	})
}
