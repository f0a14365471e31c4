package kernel

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"

	"github.com/ctmatrix/ctmatrix/images/kernel/store"
)

// fill returns the entry that key stands for, which make makes where there is
// none. The image of one that was there is read again, some 10 ms, so that a
// damaged one is never booted: it is told and made anew. Of modules the store
// compares the sizes: they are read again by Verify, and by Whole before they are
// put into an image.
func fill(ctx context.Context, s *store.Store, key string, warn func(string), make func(context.Context, string) (store.Filled, error)) (*store.Entry, error) {
	made := false
	for {
		e, err := s.Fill(ctx, key, func(ctx context.Context, dir string) (store.Filled, error) {
			made = true
			return make(ctx, dir)
		})
		if err != nil || made || soundImage(e) {
			return e, err
		}
		warn(fmt.Sprintf("the image of kernel %.12s in the store has changed; making it anew", e.Digest))
		if err := s.Remove(e.Digest); err != nil {
			return nil, err
		}
	}
}

func soundImage(e *store.Entry) bool {
	i := slices.IndexFunc(e.Files, func(f store.File) bool { return f.Name == imageFile })
	if i < 0 {
		return false
	}
	sum, err := store.HashFile(filepath.Join(e.Dir, imageFile))
	return err == nil && sum == e.Files[i].SHA256
}
