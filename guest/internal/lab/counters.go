package lab

import (
	"encoding/binary"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/ctmatrix/ctmatrix/guest/internal/nfnl"
)

// Counters read the meters of a Ruleset around each packet, and of the rules nothing
// else: Meters, which reads them whole, took most of a tick of guest time.
type Counters struct {
	rules *Ruleset
	conn  *nfnetlink
}

// NewCounters opens the meters of rules, in the calling thread's namespace.
func NewCounters(rules *Ruleset) (*Counters, error) {
	conn, err := dialNfnetlink()
	if err != nil {
		return nil, err
	}
	return &Counters{rules, conn}, nil
}

// Close ends the reading.
func (c *Counters) Close() error { return c.conn.Close() }

// Read is Meters of the rules.
func (c *Counters) Read() (map[string]uint64, error) {
	const getRule = unix.NFNL_SUBSYS_NFTABLES<<8 | unix.NFT_MSG_GETRULE
	meters := map[string]uint64{}
	for _, chain := range c.rules.meters {
		attrs := slices.Concat(stringAttr(unix.NFTA_RULE_TABLE, chain.Table.Name), stringAttr(unix.NFTA_RULE_CHAIN, chain.Name))
		head := nfnl.Header{Kind: getRule, Flags: unix.NLM_F_DUMP, Family: byte(chain.Table.Family)}
		err := c.conn.Send(nfnl.Request(head, attrs))
		if err == nil {
			err = c.conn.Answers(func(m nfnl.Message) error {
				if name := nfnl.Attr(m.Attrs, unix.NFTA_RULE_USERDATA); len(name) > 0 {
					meters[string(name)] += packetsOf(nfnl.Attr(m.Attrs, unix.NFTA_RULE_EXPRESSIONS))
				}
				return nil
			})
		}
		if err != nil {
			return nil, fmt.Errorf("read counters of %s: %w", chain.Name, err)
		}
	}
	return meters, nil
}

// packetsOf is how many packets the counter among a rule's expressions has seen.
func packetsOf(expressions []byte) (packets uint64) {
	nfnl.Attributes(expressions, func(_ uint16, e []byte) {
		if text(nfnl.Attr(e, unix.NFTA_EXPR_NAME)) != "counter" {
			return
		}
		if n := nfnl.Attr(nfnl.Attr(e, unix.NFTA_EXPR_DATA), unix.NFTA_COUNTER_PACKETS); len(n) == 8 {
			packets = binary.BigEndian.Uint64(n)
		}
	})
	return packets
}
