package lab

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"github.com/ctmatrix/ctmatrix/guest/internal/nfnl"
)

// native encodes a number the way nftables registers hold it.
func native(v uint32) []byte { return binary.NativeEndian.AppendUint32(nil, v) }

// Ruleset is what a Box has loaded. It stays loaded until Clear.
type Ruleset struct {
	conn   *nftables.Conn // which sends by a transactor
	reader *nfnl.Conn
	asker  *nftables.Conn    // for what sets hold; nil until somebody asks
	users  map[string]string // of nftables' modules, before the first rule
	tables []*nftables.Table
	chains []*nftables.Chain
	meters []*nftables.Table // those that have rules that count
	zones  []uint16          // that rules ever put packets into, but for 0
}

// NewRuleset connects to nf_tables in the calling thread's namespace.
func NewRuleset() (*Ruleset, error) {
	reader, err := nfnl.Dial()
	if err != nil {
		return nil, fmt.Errorf("open nf_tables netlink: %w", err)
	}
	s := &Ruleset{reader: reader.Short()}
	// It is the one way in which the library leaves to others what it would send.
	if s.conn, err = nftables.New(nftables.WithTestDial((&transactor{conn: s.reader}).answer)); err != nil {
		return nil, errors.Join(fmt.Errorf("open nf_tables netlink: %w", err), s.Close())
	}
	if err := s.renew(); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// renew has a cleared ruleset as a new one.
func (s *Ruleset) renew() (err error) {
	s.zones = nil
	s.users, err = nftUses.read()
	return err
}

// Add loads rules in one transaction: all of them or none.
func (s *Ruleset) Add(rules ...Rule) error {
	tables, chains, meters := len(s.tables), len(s.chains), len(s.meters)
	for _, r := range rules {
		chain := s.chain(r.Chain)
		var exprs []expr.Any
		for _, p := range r.Parts {
			if p.object != nil {
				p.object(s.conn, chain.Table)
			}
			exprs = append(exprs, p.exprs...)
			if p.zone != 0 {
				s.addZone(p.zone)
			}
		}
		if len(exprs) == 0 {
			continue
		}
		if r.meter() != "" && !slices.Contains(s.meters, chain.Table) {
			s.meters = append(s.meters, chain.Table)
		}
		s.conn.AddRule(&nftables.Rule{Table: chain.Table, Chain: chain, Exprs: exprs, UserData: []byte(r.meter())})
	}
	if err := s.conn.Flush(); err != nil {
		s.tables, s.chains, s.meters = s.tables[:tables], s.chains[:chains], s.meters[:meters]
		return fmt.Errorf("load rules: %w", err)
	}
	return nil
}

// chain finds the chain for c, or makes it and its table.
func (s *Ruleset) chain(c Chain) *nftables.Chain {
	for _, have := range s.chains {
		if have.Name == c.name && have.Table.Name == c.table && have.Table.Family == c.family {
			return have
		}
	}
	table := s.table(c.table, c.family)
	priority := c.priority
	accept := nftables.ChainPolicyAccept
	made := s.conn.AddChain(&nftables.Chain{
		Name: c.name, Table: table, Type: c.typ, Hooknum: c.hook, Priority: &priority, Policy: &accept,
	})
	s.chains = append(s.chains, made)
	return made
}

func (s *Ruleset) table(name string, family nftables.TableFamily) *nftables.Table {
	for _, have := range s.tables {
		if have.Name == name && have.Family == family {
			return have
		}
	}
	table := s.conn.AddTable(&nftables.Table{Name: name, Family: family})
	s.tables = append(s.tables, table)
	return table
}

func (s *Ruleset) addZone(zone uint16) {
	if !slices.Contains(s.zones, zone) {
		s.zones = append(s.zones, zone)
		slices.Sort(s.zones)
	}
}

// Zones are those that connections of the box may be in: 0, and what rules put
// packets into, whether these are still there or not.
func (s *Ruleset) Zones() []uint16 { return append([]uint16{0}, s.zones...) }

// Meters reads every named counter, in packets. It takes a rule's counter and its
// name, and nothing else: read whole, rules cost more than the packets between.
func (s *Ruleset) Meters() (map[string]uint64, error) {
	const getRule = unix.NFNL_SUBSYS_NFTABLES<<8 | unix.NFT_MSG_GETRULE
	meters := map[string]uint64{}
	for _, table := range s.meters {
		head := nfnl.Header{Kind: getRule, Flags: unix.NLM_F_DUMP, Family: byte(table.Family)}
		err := s.reader.Send(nfnl.Request(head, stringAttr(unix.NFTA_RULE_TABLE, table.Name)))
		if err == nil {
			err = s.reader.Answers(func(m nfnl.Message) error {
				if name := nfnl.Attr(m.Attrs, unix.NFTA_RULE_USERDATA); len(name) > 0 {
					meters[string(name)] += packetsOf(nfnl.Attr(m.Attrs, unix.NFTA_RULE_EXPRESSIONS))
				}
				return nil
			})
		}
		if err != nil {
			return nil, fmt.Errorf("read counters of table %s: %w", table.Name, err)
		}
	}
	return meters, nil
}

// packetsOf is how many packets the counter among a rule's expressions has seen.
func packetsOf(expressions []byte) (packets uint64) {
	nfnl.Attributes(expressions, func(_ uint16, e []byte) {
		if string(nfnl.Attr(e, unix.NFTA_EXPR_NAME)) != "counter\x00" {
			return
		}
		if n := nfnl.Attr(nfnl.Attr(e, unix.NFTA_EXPR_DATA), unix.NFTA_COUNTER_PACKETS); len(n) == 8 {
			packets = binary.BigEndian.Uint64(n)
		}
	})
	return packets
}

// Clear removes everything that Add made, and returns when the kernel is rid of
// it: what a rule held, hooks of tracking among it, is let go of by a worker
// some time after the rule is gone (nf_tables_trans_destroy_work).
func (s *Ruleset) Clear() error {
	if len(s.tables) == 0 {
		return nil
	}
	for _, t := range s.tables {
		s.conn.DelTable(t)
	}
	s.tables, s.chains, s.meters = nil, nil, nil
	if err := s.conn.Flush(); err != nil {
		return fmt.Errorf("remove rules: %w", err)
	}
	return s.settle()
}

// settleTicks bounds the wait for the worker, in ticks: some seconds.
const settleTicks = 1000

// settle waits until the modules of the rules have as few users as before: the
// worker lets go of a module after everything else that an expression held.
func (s *Ruleset) settle() error {
	for range settleTicks {
		users, err := nftUses.read()
		if err != nil || !held(users, s.users) {
			return err
		}
		if err := PassTicks(1); err != nil {
			return err
		}
	}
	return errors.New("removed rules still hold kernel modules")
}

// RemoveTable removes the table of a chain, and returns when the kernel is rid of
// it.
func (s *Ruleset) RemoveTable(c Chain) error {
	i := slices.IndexFunc(s.tables, func(t *nftables.Table) bool { return t.Name == c.table && t.Family == c.family })
	if i < 0 {
		return fmt.Errorf("remove table %s: there is none", c.table)
	}
	s.conn.DelTable(s.tables[i])
	s.tables = slices.Delete(s.tables, i, i+1)
	gone := func(have *nftables.Table) bool { return have.Name == c.table && have.Family == c.family }
	s.chains = slices.DeleteFunc(s.chains, func(have *nftables.Chain) bool { return gone(have.Table) })
	s.meters = slices.DeleteFunc(s.meters, gone)
	if err := s.conn.Flush(); err != nil {
		return fmt.Errorf("remove table %s: %w", c.table, err)
	}
	return nil
}

// Close ends the connections; rules stay.
func (s *Ruleset) Close() error {
	if s.asker != nil {
		return errors.Join(s.reader.Close(), s.asker.CloseLasting())
	}
	return s.reader.Close()
}
