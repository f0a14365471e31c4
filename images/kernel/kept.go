package kernel

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/ctmatrix/ctmatrix/images/kernel/apt"
	"github.com/ctmatrix/ctmatrix/images/kernel/store"
)

// keptVersion begins the names of what is kept of indexes, and changes with its
// form: a line with the checksum of the rest, which is JSON.
const keptVersion = "v2-"

// keep keeps what the mirror said. Where nothing can be kept, it is asked again
// the next time: kernels that are in the store can be used all the same.
func (s *debian) keep(kind, name string, what any) error {
	data, err := json.Marshal(what)
	if err != nil {
		return fmt.Errorf("keep %s: %w", kind, err)
	}
	err = s.store.PutDoc(kind, keptVersion+name, append([]byte(sumOf(data)+"\n"), data...))
	if errors.Is(err, store.ErrUnwritable) {
		s.unkept.Do(func() { s.warn("the mirror's indexes are not kept: %v", err) })
		return nil
	}
	return err
}

// kept fills into with what is kept, and reports whether it is there and as it was
// written: the hash of a package that changed on the disk would be held against
// the mirror.
func (s *debian) kept(kind, name string, into any) bool {
	sum, data, ok := bytes.Cut(s.store.Doc(kind, keptVersion+name), []byte("\n"))
	return ok && string(sum) == sumOf(data) && json.Unmarshal(data, into) == nil
}

func sumOf(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// notOlder holds an index to the one that was there before. One that is older is
// signed all the same: of a mirror that lags, or of somebody who would have us
// test what has been replaced since.
func notOlder(rel *apt.Release, before time.Time) error {
	if rel.Date.Before(before) {
		return fmt.Errorf("the mirror serves the index signed on %s, and served that of %s before", day(rel.Date), day(before))
	}
	return nil
}

// day is a time for the user, who compares it with a calendar and a clock.
func day(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 MST") }
