package cli

import "time"

// heart tells plain output of the whole now and then, also while no cell ends:
// who reads the log of a long run must see that it goes on.
type heart struct{ end, ended chan struct{} }

// newHeart calls beat, over and over, until it is stopped.
func newHeart(every time.Duration, beat func(now time.Time)) *heart {
	h := &heart{make(chan struct{}), make(chan struct{})}
	go func() {
		defer close(h.ended)
		ticker := time.NewTicker(every)
		defer ticker.Stop()
		for {
			select {
			case now := <-ticker.C:
				beat(now)
			case <-h.end:
				return
			}
		}
	}()
	return h
}

// stop returns when no beat is under way, and there will be none.
func (h *heart) stop() {
	close(h.end)
	<-h.ended
}

// beat has plain output told of the whole from now on.
func (b *bars) beat() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.heart != nil || b.closed {
		return
	}
	b.heart = newHeart(totalEvery, func(now time.Time) {
		if b.total.due(now) {
			b.write(b.total.text(now))
		}
	})
}
