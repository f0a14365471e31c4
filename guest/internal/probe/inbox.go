package probe

import (
	"errors"

	"github.com/ctmatrix/ctmatrix/guest/internal/ct"
	"github.com/ctmatrix/ctmatrix/guest/internal/lab"
)

// InChild runs part of the probe with a box of its own in a new network
// namespace. Rows recorded there are the probe's own.
func (p *P) InChild(body func(c *P)) {
	c := &P{log: p.log, name: p.name, rows: p.rows, seen: p.seen, clock: p.clock, hostClock: p.hostClock, rec: p.rec}
	p.rec.Step("begin a child namespace")
	var ended any
	err := lab.InChild(func() error {
		return c.withBox(lab.Input, nil, func() {
			defer func() { ended = recover() }()
			body(c)
		})
	})
	p.rec.Step("end the child namespace")
	p.rows = c.rows
	p.lines = append(p.lines, c.lines...)
	if ended != nil {
		panic(ended)
	}
	p.Must(err)
}

// withBox makes the calling thread's namespace a box, or rouses the one that rests
// there, runs f, and leaves the namespace as it was; its error says what could not
// be made or was left.
func (p *P) withBox(path lab.Path, resting *lab.Box, f func()) error {
	table, err := ct.Open()
	if err != nil {
		return err
	}
	p.table = table
	if p.stats, err = table.Stats(); err != nil {
		return errors.Join(err, table.Close())
	}
	p.first = p.stats
	leave := (*lab.Box).Rest
	if p.Box = resting; resting != nil {
		err = resting.Rouse()
	} else {
		leave = (*lab.Box).Close
		p.Box, err = lab.NewBox(path)
	}
	if err != nil {
		return errors.Join(err, table.Close())
	}
	err = p.watched(true, f)
	return errors.Join(err, p.clean(), leave(p.Box), table.Flush(), table.Close())
}

// watched runs f while what passes the links is recorded, if anything is. Where the
// table may be asked about packets, its entries are told.
func (p *P) watched(ask bool, f func()) error {
	leave, err := p.rec.Watch(p.Box, ask)
	if err != nil {
		return err
	}
	defer leave()
	f()
	return nil
}
