package apt

import (
	"bytes"
	_ "embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
)

// builtin is /usr/share/keyrings/debian-archive-keyring.gpg as the package
// debian-archive-keyring of Debian 12 installs it: the keys of Debian's
// archives, for hosts that do not have the package.
//
//go:embed keyring.gpg
var builtin []byte

// HostKeyrings are where Debian and its derivatives keep the archive's keys.
var HostKeyrings = []string{
	"/usr/share/keyrings/debian-archive-keyring.gpg",
	"/usr/share/keyrings/debian-archive-keyring.pgp",
}

// Keyring is a set of OpenPGP keys that may vouch for an archive.
type Keyring struct{ entities openpgp.EntityList }

// ReadKeyring parses a keyring, binary or armored.
func ReadKeyring(data []byte) (Keyring, error) {
	read := openpgp.ReadKeyRing
	if bytes.HasPrefix(bytes.TrimSpace(data), []byte("-----BEGIN")) {
		read = openpgp.ReadArmoredKeyRing
	}
	list, err := read(bytes.NewReader(data))
	if err != nil {
		return Keyring{}, fmt.Errorf("read keyring: %w", err)
	}
	if len(list) == 0 {
		return Keyring{}, errors.New("read keyring: it holds no key")
	}
	return Keyring{list}, nil
}

// LoadKeyring reads the keyring at path. With path "" it reads those of paths
// that exist, and adds the built-in copy of Debian's: the host's copy may be
// older or newer than it.
func LoadKeyring(path string, paths []string) (Keyring, error) {
	if path != "" {
		data, err := os.ReadFile(path)
		if err != nil {
			return Keyring{}, fmt.Errorf("read keyring: %w", err)
		}
		k, err := ReadKeyring(data)
		if err != nil {
			return Keyring{}, fmt.Errorf("%s: %w", path, err)
		}
		return k, nil
	}
	all, err := ReadKeyring(builtin)
	if err != nil {
		return Keyring{}, fmt.Errorf("built-in keys: %w", err)
	}
	for _, p := range paths {
		data, err := os.ReadFile(p)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) || bytes.Equal(data, builtin) {
			continue
		}
		if err != nil {
			return Keyring{}, fmt.Errorf("read keyring: %w", err)
		}
		k, err := ReadKeyring(data)
		if err != nil {
			return Keyring{}, fmt.Errorf("%s: %w", p, err)
		}
		all.entities = append(all.entities, k.entities...)
	}
	return all, nil
}

// Len is how many keys there are.
func (k Keyring) Len() int { return len(k.entities) }

// verify checks a signature over text by the key id. The openpgp package's own
// check would refuse a key that has expired since.
func (k Keyring) verify(id uint64, text []byte, sig *packet.Signature) error {
	err := fmt.Errorf("key %016X is not in the keyring", id)
	for _, key := range k.entities.KeysById(id) {
		if err = usable(key, sig.CreationTime); err != nil {
			err = fmt.Errorf("key %016X %w", id, err)
			continue
		}
		h, herr := sig.PrepareVerify()
		if herr != nil {
			return fmt.Errorf("key %016X: %w", id, herr)
		}
		// Decode has brought the text into the canonical form of a text
		// signature, which is all that differs between both kinds.
		h.Write(text)
		if key.PublicKey.VerifySignature(h, sig) != nil {
			err = fmt.Errorf("the text is not what key %016X signed", id)
			continue
		}
		return nil
	}
	return err
}

// usable says why a key may not have signed at a time.
func usable(key openpgp.Key, at time.Time) error {
	// A revocation counts whenever it was made: a stolen key can sign with
	// any date.
	if len(key.Entity.Revocations) > 0 || len(key.Revocations) > 0 {
		return errors.New("is revoked")
	}
	self, _ := key.Entity.PrimarySelfSignature()
	if self == nil {
		return errors.New("has no valid self-signature")
	}
	if key.Entity.PrimaryKey.KeyExpired(self, at) {
		return errors.New("had expired when it signed")
	}
	if key.PublicKey != key.Entity.PrimaryKey {
		if key.SelfSignature == nil || key.PublicKey.KeyExpired(key.SelfSignature, at) {
			return errors.New("had expired when it signed")
		}
	}
	if s := key.SelfSignature; s != nil && s.FlagsValid && !s.FlagSign {
		return errors.New("is not a signing key")
	}
	return nil
}
