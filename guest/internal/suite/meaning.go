package suite

import (
	_ "embed"
	"path"
	"strings"

	"github.com/ctmatrix/ctmatrix/guest/observe"
)

// rowNames are the rows of every probe on a kernel that lacks nothing, one a
// line, sorted. A row is known when it is recorded; this list, which
// orchestrator/e2e holds to what real kernels record, says it before.
//
//go:embed rows.txt
var rowNames string

// rowsOf lists a case's rows with what they mean.
func rowsOf(probe string) []observe.RowHead {
	var rows []observe.RowHead
	for name := range strings.Lines(rowNames) {
		name = strings.TrimSuffix(name, "\n")
		if path.Dir(name) == probe {
			rows = append(rows, observe.RowHead{Name: name, Meaning: meaning(name)})
		}
	}
	return rows
}

// meaning is what a row says, in one line: of what, and what of it.
func meaning(row string) string {
	probe, last := path.Split(row)
	subject, attr, _ := strings.Cut(last, ".")
	of := phrase(strings.TrimSuffix(probe, "/"), subject)
	for _, m := range particular {
		if ok, err := path.Match(m.row, row); err == nil && ok {
			return of + ": " + m.means
		}
	}
	return of + ": " + attributes[attr]
}

// phrase is what a subject is called in a sentence.
func phrase(probe, subject string) string {
	family, _, _ := strings.Cut(probe, "/")
	var where []string
	cut := func(prefix, text string) {
		if rest, ok := strings.CutPrefix(subject, prefix); ok && words[family+" "+subject] == "" && words[" "+subject] == "" {
			subject = rest
			where = append(where, text)
		}
	}
	cut("v4-", "IPv4")
	cut("v6-", "IPv6")
	cut("orig-", "client")
	cut("reply-", "server")
	text := words[family+" "+subject]
	if text == "" {
		text = words[" "+subject]
	}
	if text == "" {
		text = strings.ReplaceAll(subject, "-", " ")
	}
	if len(where) > 0 {
		text += " (" + strings.Join(where, ", ") + ")"
	}
	return text
}

// attributes are what can be said of a subject.
var attributes = map[string]string{
	"above":           "how many there are above the limit",
	"access":          "how reading it and writing it ends there",
	"all":             "whether all ends of connections were told",
	"answer":          "what the client hears",
	"answers":         "which keys have an answer, and which",
	"asked":           "how many of two packets the chain was asked about",
	"attributes":      "the attributes that the message carries",
	"buckets":         "the number of buckets then",
	"bytes":           "how many bytes came out, with the header",
	"came-out":        "whether it came out at the other side",
	"checksums":       "whether the checksums of what came out are right",
	"clash_resolve":   "by how much the statistic clash_resolve grew",
	"class":           "the class after tracking",
	"classes":         "the classes that the rules see",
	"columns":         "the columns of the file",
	"completes":       "whether a fragment completes its packet then",
	"counted":         "the number that the kernel counts",
	"counters":        "packets/bytes of the original and of the reply direction",
	"default":         "the value and the mode, or none",
	"destroy":         "whether there was a destroy event",
	"die":             "whether any did not come out",
	"drop":            "by how much the statistic drop grew: no room for an entry",
	"drop+early_drop": "by how much the statistics drop and early_drop grew together",
	"early_drop":      "by how much the statistic early_drop grew: entries evicted for newcomers",
	"entries":         "how many entries there are",
	"entry":           "the entries there are then, by protocol, state and flags",
	"errno":           "how the system call ended",
	"established":     "the combinations that are of an established connection",
	"events":          "the kinds of events, in their order",
	"evicts":          "whether an entry was evicted",
	"expected":        "what is expected then: of whom, to whom, by which helper, and for how many seconds",
	"fate":            "what came out because of it",
	"forwarded":       "what the server hears",
	"heard":           "whom the box's socket heard from",
	"helper":          "the helper of its master, as a rule reads it",
	"here":            "whether the namespace has it",
	"in-sequence":     "whether its sequence number is what the other side expects",
	"inner":           "whose conversation the packet in it tells of",
	"insert_failed":   "by how much the statistic insert_failed grew",
	"invalid":         "by how much the statistic invalid grew",
	"kept":            "whether it is the same after translation",
	"label":           "the labels that are set",
	"lacking":         "how many of the lists lack one of those that stay",
	"lifetime":        "the seconds from the last packet until no entry is left, measured",
	"line":            "the lines in the table's file",
	"lines":           "how many lines there are besides the head",
	"listed":          "how many entries a dump has",
	"log":             "the class, and with what protocol and reason it was logged",
	"lost":            "whether the listener hears that it missed some",
	"mangle":          "how many packets there were just after tracking",
	"mark":            "the mark",
	"marked":          "how many packets had the mark later",
	"matched":         "how many packets a rule on the mark matched",
	"matches":         "which matches it fulfils",
	"max":             "the limit that is read there",
	"mode":            "the mode of the file",
	"moved-by":        "by how many bytes its sequence number was moved",
	"names":           "what the list of settings lacks",
	"new":             "whether there was a new event",
	"orig":            "from whom to whom its original direction goes",
	"outcome":         "class, whether it was lost, entries then and the seconds they were given",
	"outer":           "class and entries in the first namespace",
	"packet":          "from whom to whom what came out goes",
	"packets":         "how many wait",
	"passage":         "how often it passes which places",
	"passes":          "whether it came out",
	"per-256-buckets": "how many there may be for every 256 buckets of the table",
	"per-bucket":      "how many entries there may be for each bucket",
	"pieces":          "in which fragments it came out: place and size, more to follow, don't fragment",
	"port":            "the port that packets are sent to",
	"priority":        "how many packets had which priority later",
	"protocols":       "those whose invalid packets were logged",
	"raw":             "how many packets there were just before tracking",
	"refuses":         "whether an entry was refused for the length of its bucket",
	"related":         "the combinations that are related",
	"reply":           "from whom to whom its reply direction goes",
	"scales":          "the window scales of the original and the reply direction",
	"seconds":         "the seconds between beginning and end, as the event says",
	"source-port":     "whether its source port, or id, is kept, or from which range another is",
	"start":           "whether it says when the entry began",
	"stats":           "those that the whole probe moved",
	"status":          "the status, as a rule reads it",
	"stop":            "whether it says when the entry ended",
	"suppressed":      "how many answers of the box a rule held back",
	"table-full":      "how many lines of the kernel's log say that the table is full",
	"taken":           "which values it takes, which it refuses, and what it reads after writing nothing",
	"text":            "what the kernel's log says of a full table",
	"timeout":         "the seconds that entries were given by the last packet",
	"timestamps":      "how far beyond the receiver's own clock, or the proxy's, what it hears of it is",
	"to-client":       "what the client hears",
	"to-server":       "what the server hears",
	"told":            "the events, with the attributes of each",
	"tracked":         "whether it has an entry",
	"translated":      "the packets that came out with the translation",
	"ttl":             "how many hops are left",
	"twice":           "how many of the lists have one of those that stay twice",
	"types":           "the types of messages that have this class",
	"untracked":       "the combinations that are not tracked",
	"untranslated":    "the packets that came out without it",
	"update":          "whether there was an update event",
	"uses":            "by how much it is counted as used when all is deleted",
	"value":           "the value that is read",
	"waiting":         "how many packets wait then",
	"way":             "whether tracking saw it or the flowtable forwarded it, and the entries then",
	"write":           "how the write in a child namespace ended, and whether the initial one's value changed",
	"zones":           "class, whether it was lost, and the entries with their zones",
}

// particular are meanings that an attribute has in some rows only.
var particular = []struct{ row, means string }{
	{"limits/chain/packets.counted", "whether those that did not come out are those that were refused"},
	{"limits/chain/entries.those-that-passed", "whether there are as many as packets came out"},
	{"table-full/flood*/table.evictions-rare", "whether evictions are as rare as the hash makes them"},
	{"log/lines/*.line", "the line of the kernel's log"},
	{"log/*/*.lines", "how many lines of the kernel's log say that the table is full"},
	{"log/table-full-rate/*.text", "what the kernel's log says of lines that it held back"},
	{"tcp-state/flags-*/flags.invalid", "the combinations that are INVALID"},
	{"tcp-state/flags-*/flags.new", "the combinations that begin an entry"},
	{"sysctl/inherited/*.value", "whether a new namespace has the initial one's value or its own"},
	{"netlink/*/*.answers", "how many answers came"},
	{"netlink/long-list/*.listed", "whether each was listed"},
	{"netlink/delete/*.entries", "how many entries are left"},
	{"netlink/long-list/*.entries", "how many entries are left"},
	{"netlink/*/*.entries", "the entries there are then, with what tells them apart"},
	{"flowtable/*/*.entries", "the entries there are then, with the seconds that are left to the nearest ten"},
	{"races/*/*.lost", "how many packets did not come out"},
	{"races/*/*.entries", "how many conversations have two entries"},
	{"clash/*/*.entries", "the entries there are then, with their reply direction"},
	{"flowtable/nat/*.entries", "the entries there are then, with their reply direction"},
	{"helpers/pptp/*.entries", "the entries there are then, with their reply direction"},
	{"devices/veth*/*.inner", "class and entries in the second namespace"},
	{"helpers/snmp-nat/*.text", "what the message says that came out, in hexadecimal"},
	{"helpers/log/*.line", "how the line of the kernel's log begins, up to the devices"},
	{"helpers/pptp-again/*.entries", "the entries there are then, with their reply direction"},
	{"helpers/user-space/waits.class", "what the kernel says of its connection"},
	{"netlink/helpers/*.told", "the attributes by which the kernel tells of what it keeps"},
	{"helpers/ftp-nat/*.text", "what the server reads"},
	{"queue/attributes/*.class", "what the kernel says of its connection"},
	{"nat/x-targets-refused/log.text", "what the kernel's log says of rules that it refuses"},
	{"x-tables/connlabel*/*.matches", "whether the packet fulfils it"},
	{"procfs/agrees/*.entries", "how many entries it says there are"},
	{"procfs/expectations/*.line", "the lines in the file of expectations, without the seconds"},
	{"netlink/timeout-defaults/*.value", "the seconds that a datagram without an answer is kept then"},
	{"zones/labels-read/*.value", "the labels that a rule reads, of the packets after"},
}
