package bisect

import (
	"slices"
	"strings"

	"github.com/ctmatrix/ctmatrix/guest/observe"
	"github.com/ctmatrix/ctmatrix/images/changelog"
)

// Excerpt is what a changelog says of the way from one package to another, as
// far as it concerns a probe.
type Excerpt struct {
	Versions int               // how many entries the interval has
	Entries  []changelog.Entry // those with something to show, without the rest
	LeftOut  int               // how many changes are not shown
	Topics   []string          // by which changes were chosen, beside netfilter
	Missing  string            // why there is no changelog; "" if there is one
}

// Changes returns what the newer package's changelog has that the older package
// lacks, and that touches netfilter or one of topics, which are from Topics.
func Changes(text []byte, older string, topics []string) Excerpt {
	out := Excerpt{Topics: topics}
	entries := changelog.Since(changelog.Parse(text), older)
	out.Versions = len(entries)
	for _, e := range entries {
		all := len(e.Changes)
		e.Changes = slices.DeleteFunc(e.Changes, func(c changelog.Change) bool { return !touches(c, topics) })
		out.LeftOut += all - len(e.Changes)
		if len(e.Changes) > 0 {
			out.Entries = append(out.Entries, e)
		}
	}
	return out
}

// netfilter are words that begin like this, and are netfilter's wherever they
// stand.
var netfilter = []string{
	"netfilter", "conntrack", "nf_", "nft", "nfnetlink", "nfqueue", "nfct", "ctnetlink", "xt_",
	"x_tables", "xtables", "ip_tables", "ip6_tables", "iptables", "ip6tables", "arp_tables", "arptables",
	"ebt_", "ebtable", "ip_set", "ipset", "ip_vs", "ipvs", "br_netfilter", "synproxy", "flowtable",
}

// topics are what a probe may be about beside netfilter: a word that a probe has
// in its name, its path, its rules, its sysctls or its needs, and what upstream
// calls that in titles. Common is a word that titles of all subsystems have: it
// counts only where it names the subsystem, before the last colon.
var topics = []struct {
	word   string
	common bool
	titles []string
}{
	{"bridge", true, []string{"bridge"}},
	{"dccp", false, []string{"dccp"}},
	{"defrag", false, []string{"defrag", "frag", "frags", "inet_frag", "inet_frags", "ip_frag", "reassembly"}},
	{"fragment", false, []string{"defrag", "frag", "frags", "inet_frag", "inet_frags", "ip_frag", "reassembly"}},
	{"gre", false, []string{"gre", "ip_gre", "ip6_gre", "pptp"}},
	{"icmp", false, []string{"icmp"}},
	{"icmpv6", false, []string{"icmpv6"}},
	{"ipv4", true, []string{"ipv4"}},
	{"ipv6", true, []string{"ipv6"}},
	{"netlink", true, []string{"netlink", "rtnetlink", "genetlink"}},
	{"sctp", false, []string{"sctp"}},
	{"syncookies", false, []string{"syncookie", "syncookies"}},
	{"sysctl", true, []string{"sysctl", "sysctls"}},
	{"tcp", true, []string{"tcp"}},
	{"tun", true, []string{"tun"}},
	{"udp", true, []string{"udp"}},
	{"udplite", false, []string{"udplite", "udp-lite", "udp_lite"}},
	{"veth", true, []string{"veth"}},
	{"vrf", true, []string{"vrf"}},
}

// Topics are what a row is about besides netfilter, as its own name says, and the
// path, the rules, the sysctls and the needs of its probe.
func Topics(row string, head observe.Head) []string {
	about := tokens(strings.Join([]string{
		strings.ReplaceAll(row, "-", " "), head.Path, strings.Join(head.Rules, " "), strings.Join(head.Needs, " "),
	}, " "))
	for _, s := range head.Sysctls {
		name, _, _ := strings.Cut(s, " ")
		about = append(about, tokens(strings.ReplaceAll(name, "_", " "))...)
	}
	var out []string
	for _, t := range topics {
		if slices.Contains(about, t.word) {
			out = append(out, t.word)
		}
	}
	return out
}

// touches reports whether a change, or what it stands below, is netfilter's or of
// one of the topics.
func touches(c changelog.Change, about []string) bool {
	for _, text := range append([]string{c.Text}, c.Under...) {
		if strings.Contains(text, "://") {
			continue // the address of a release
		}
		subsystem := text[:max(strings.LastIndex(text, ": "), 0)]
		all, named := tokens(text), tokens(subsystem)
		own := func(word string) bool {
			return slices.ContainsFunc(netfilter, func(prefix string) bool { return strings.HasPrefix(word, prefix) })
		}
		if slices.ContainsFunc(all, own) {
			return true
		}
		for _, t := range topics {
			words := all
			if t.common {
				words = named
			}
			has := func(title string) bool { return slices.Contains(words, title) }
			if slices.Contains(about, t.word) && slices.ContainsFunc(t.titles, has) {
				return true
			}
		}
	}
	return false
}

// tokens are the words of a text, in lower case. A hyphen makes one word of two:
// nvme-tcp is not tcp.
func tokens(text string) []string {
	return strings.FieldsFunc(strings.ToLower(text), func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '_' && r != '-'
	})
}
