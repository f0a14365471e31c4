package apt

import (
	"bytes"
	"crypto"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp/clearsign"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
)

// ErrSignature: no key of the keyring vouches for a release file.
var ErrSignature = errors.New("no good signature")

// Release is a suite's signed list of its indexes.
type Release struct {
	Suite         string
	Codename      string
	Date          time.Time
	ValidUntil    time.Time // zero where not limited
	AcquireByHash bool
	Files         map[string]Hash // by name below the suite: "main/binary-amd64/Packages.xz"
}

// Hash is what a file of an archive must be.
type Hash struct {
	Size   int64
	SHA256 string // hex
}

// Expired reports whether the release was to be replaced before now.
func (r *Release) Expired(now time.Time) bool {
	return !r.ValidUntil.IsZero() && now.After(r.ValidUntil)
}

// Is reports whether the release calls itself by the name that a suite was
// asked for by, so that one suite cannot be passed off as another.
func (r *Release) Is(suite string) bool { return r.Suite == suite || r.Codename == suite }

// hashes that a signature may be made over.
var hashes = []crypto.Hash{crypto.SHA256, crypto.SHA384, crypto.SHA512}

// maxAhead is how far a signature may lie in the future: clocks differ.
const maxAhead = 24 * time.Hour

// ReadInRelease verifies a clearsigned release file and parses what is signed.
//
// Policy: one good signature is enough, over SHA256 or better, by a key of the
// keyring that may sign, is not revoked, and had not expired when it signed.
// That a key has expired since does not matter: archives of old releases are
// not signed again. The signature itself must not have expired, nor come from
// the future. The file must hold the signed text and nothing else.
func ReadInRelease(data []byte, keys Keyring, now time.Time) (*Release, error) {
	if !bytes.HasPrefix(data, []byte("-----BEGIN PGP SIGNED MESSAGE-----")) {
		return nil, fmt.Errorf("%w: not a clearsigned file", ErrSignature)
	}
	block, rest := clearsign.Decode(data)
	if block == nil {
		return nil, fmt.Errorf("%w: malformed clearsigned file", ErrSignature)
	}
	if len(bytes.TrimSpace(rest)) > 0 {
		return nil, fmt.Errorf("%w: text after the signed text", ErrSignature)
	}
	if err := verify(block, keys, now); err != nil {
		return nil, err
	}
	return ParseRelease(block.Plaintext)
}

// verify looks for one good signature. The reasons against the others are told
// only when there is none.
func verify(block *clearsign.Block, keys Keyring, now time.Time) error {
	var reasons []string
	packets := packet.NewReader(block.ArmoredSignature.Body)
	for len(reasons) < 16 {
		p, err := packets.Next()
		if err != nil { // the end, or what follows is of no use
			break
		}
		sig, ok := p.(*packet.Signature)
		if !ok {
			continue
		}
		if err := verifyOne(block.Bytes, sig, keys, now); err != nil {
			if r := err.Error(); !slices.Contains(reasons, r) {
				reasons = append(reasons, r)
			}
			continue
		}
		return nil
	}
	if reasons == nil {
		reasons = []string{"none at all"}
	}
	return fmt.Errorf("%w: %s", ErrSignature, strings.Join(reasons, "; "))
}

func verifyOne(text []byte, sig *packet.Signature, keys Keyring, now time.Time) error {
	if sig.IssuerKeyId == nil {
		return errors.New("a signature without a key")
	}
	id := *sig.IssuerKeyId
	if !slices.Contains(hashes, sig.Hash) {
		return fmt.Errorf("key %016X signed over %s", id, sig.Hash)
	}
	if sig.SigType != packet.SigTypeText && sig.SigType != packet.SigTypeBinary {
		return fmt.Errorf("key %016X made a signature of another kind", id)
	}
	if sig.CreationTime.After(now.Add(maxAhead)) {
		return fmt.Errorf("key %016X signed in the future, on %s: is this host's clock right, which says %s", id,
			sig.CreationTime.UTC().Format(time.DateOnly), now.UTC().Format(time.DateOnly))
	}
	// SigExpired calls a signature from the future expired, and clocks differ.
	if !sig.CreationTime.After(now) && sig.SigExpired(now) {
		return fmt.Errorf("the signature of key %016X has expired", id)
	}
	return keys.verify(id, text, sig)
}

// ParseRelease parses a release file that has been verified.
func ParseRelease(text []byte) (*Release, error) {
	r := &Release{Files: map[string]Hash{}}
	seen := false
	err := paragraphs(bytes.NewReader(text), func(f fields) error {
		if seen {
			return errors.New("more than one paragraph")
		}
		seen = true
		return r.fill(f)
	})
	if err != nil {
		return nil, fmt.Errorf("parse release file: %w", err)
	}
	if !seen || len(r.Files) == 0 {
		return nil, errors.New("parse release file: it lists no SHA256")
	}
	return r, nil
}

func (r *Release) fill(f fields) error {
	r.Suite, r.Codename = f.get("suite"), f.get("codename")
	r.AcquireByHash = f.get("acquire-by-hash") == "yes"
	var err error
	if r.Date, err = releaseTime(f.get("date")); err != nil {
		return err
	}
	if r.ValidUntil, err = releaseTime(f.get("valid-until")); err != nil {
		return err
	}
	for _, line := range f["sha256"] {
		w := strings.Fields(line)
		if len(w) == 0 {
			continue
		}
		if len(w) != 3 || !validHash(w[0]) {
			return fmt.Errorf("bad SHA256 line %.80q", line)
		}
		size, err := strconv.ParseInt(w[1], 10, 64)
		if err != nil || size < 0 {
			return fmt.Errorf("bad size in %.80q", line)
		}
		r.Files[w[2]] = Hash{Size: size, SHA256: w[0]}
	}
	return nil
}

// releaseTime parses a date in a release file; "" gives the zero time.
func releaseTime(s string) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	for _, layout := range []string{"Mon, 02 Jan 2006 15:04:05 MST", "Mon, 2 Jan 2006 15:04:05 MST", time.RFC1123Z} {
		if t, err := time.Parse(layout, s); err == nil {
			return t.UTC(), nil
		}
	}
	return time.Time{}, fmt.Errorf("bad date %.40q", s)
}
