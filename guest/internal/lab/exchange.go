package lab

import "github.com/ctmatrix/ctmatrix/guest/internal/wire"

// BothWays sends packets into the near link, waits until they are through, and
// returns what came back out of it and what came out of the far link because of
// them.
func (b *Box) BothWays(pkts ...wire.Packet) (back, forth []wire.Seen, err error) {
	return b.exchange(b.Near, b.Far, pkts)
}

// BackBothWays sends packets into the far link, waits until they are through, and
// returns what came back out of it and what came out of the near link.
func (b *Box) BackBothWays(pkts ...wire.Packet) (back, over []wire.Seen, err error) {
	return b.exchange(b.Far, b.Near, pkts)
}
