package suite

import (
	"errors"
	"io/fs"
	"net/netip"
	"os"
	"regexp"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ctmatrix/ctmatrix/guest/internal/lab"
	"github.com/ctmatrix/ctmatrix/guest/internal/probe"
	"github.com/ctmatrix/ctmatrix/guest/internal/wire"
)

const procSource = "ct_seq_show, ct_cpu_seq_show and nf_conntrack_standalone_init_proc in nf_conntrack_standalone.c"

// The files belong to the namespace of the thread that opens them.
const (
	procTable = "/proc/thread-self/net/nf_conntrack"
	procStats = "/proc/thread-self/net/stat/nf_conntrack"
	procExp   = "/proc/thread-self/net/nf_conntrack_expect"
)

var procfs = []probe.Probe{
	{
		Name:     "procfs/files",
		Question: "Are the table and the statistics files of a namespace, who may read them, and which columns have they?",
		Source:   procSource,
		Run: func(p *probe.P) {
			for _, f := range []struct{ subject, path string }{{"table", procTable}, {"stats", procStats}} {
				info, err := os.Stat(f.path)
				p.Errno(f.subject, err)
				mode := "none"
				if err == nil {
					mode = info.Mode().Perm().String()
				}
				p.Text(f.subject, "mode", mode)
			}
			head, lines := "none", 0
			if b, err := os.ReadFile(procStats); err == nil {
				all := strings.Split(strings.TrimSpace(string(b)), "\n")
				head, lines = strings.Join(strings.Fields(all[0]), " "), len(all)-1
			}
			p.Text("stats", "columns", head)
			p.Count("stats", "lines", lines)
		},
	},
	{
		Name:     "procfs/lines",
		Question: "How is the entry of each protocol written?",
		Source:   procSource + "; the print_conntrack of each tracker",
		Path:     lab.Forward6,
		Only:     probe.Initial,
		// Checksums of UDP-Lite are taken for wrong where they are looked at.
		Sysctls: []probe.Sysctl{{Name: checksumSysctl, Value: "0"}},
		Run: func(p *probe.P) {
			f := tcpFlow()
			written(p, "tcp-unreplied", f.Orig(SYN), wire.Packet{})
			written(p, "tcp-replied", tcpFlow().Orig(SYN), f.Reply(SYN|ACK))
			p.Flush()
			established(p)
			p.Text("tcp-assured", "line", procLines(p))
			from, to := versions[1].udp()
			written(p, "udp6", wire.UDP(from, to, "x"), wire.UDP(to, from, "x"))
			written(p, "udp", wire.UDP(udpClient, udpServer, "x"), wire.Packet{})
			written(p, "icmp", wire.Echo(client, server, false, 7, 1), wire.Packet{})
			written(p, "icmpv6", wire.Echo(client6, server6, false, 7, 1), wire.Packet{})
			written(p, "gre", wire.GRE(client, server), wire.Packet{})
			sctp := netip.AddrPortFrom(server, 9999)
			written(p, "sctp", wire.SCTP(tcpClient, sctp, 0, wire.Init), wire.Packet{})
			written(p, "dccp", wire.DCCP(tcpClient, tcpServer, wire.DCCPRequest, 1, 0), wire.Packet{})
			written(p, "udplite", wire.UDPLite(tcpClient, tcpServer, "x"), wire.Packet{})
			written(p, "generic", wire.Datagram(client, server, wire.ProtoUnknown, []byte("x")), wire.Packet{})
		},
	},
	{
		Name:     "procfs/accounting",
		Question: "How are counters written, where they are on?",
		Source:   "seq_print_acct in nf_conntrack_standalone.c",
		Path:     lab.Forward,
		Only:     probe.Initial,
		Sysctls:  []probe.Sysctl{accounts, {Name: stampSysctl, Value: "1"}},
		Run: func(p *probe.P) {
			written(p, "udp", wire.UDP(udpClient, udpServer, "x"), wire.UDP(udpServer, udpClient, "x"))
		},
	},
	{
		Name:     "procfs/agrees",
		Question: "Do the file, a dump and the count agree on how many entries there are?",
		Source:   procSource + "; selftest conntrack_resize.sh",
		Path:     lab.Forward,
		Only:     probe.Initial,
		Run: func(p *probe.P) {
			shake(p, forwardFlows(200))
			p.Count("dump", "entries", p.Listed())
			p.Text("count", "entries", read(p, "net.netfilter.nf_conntrack_count"))
			b, err := os.ReadFile(procTable)
			p.Errno("file", err)
			p.Count("file", "entries", strings.Count(string(b), "\n"))
		},
	},
	{
		Name:     "procfs/other-namespace",
		Question: "Does a namespace's file show the entries of another?",
		Source:   procSource,
		Path:     lab.Forward,
		Only:     probe.Initial,
		Run: func(p *probe.P) {
			established(p)
			p.Text("initial", "line", procLines(p))
			p.InChild(func(c *probe.P) { c.Text("child", "line", procLines(c)) })
		},
	},
	{
		Name:     "procfs/expectations",
		Question: "How is an expectation written that a helper made, or a rule, and does a namespace's file show those of another?",
		Source:   "exp_seq_show in nf_conntrack_expect.c",
		Path:     lab.Forward6,
		Only:     probe.Initial,
		Needs:    []string{"nf_conntrack_ftp", "nft_objref"},
		Run: func(p *probe.P) {
			p.Text("nothing", "line", expectLines(p))
			assign(p, "ftp", "tcp", unix.IPPROTO_TCP, 21)
			f := ftpControl(p, versions[0], firstPort)
			p.Forth(f.Orig(ACK, portLine(20000)))
			p.Text("helper", "line", expectLines(p))
			p.InChild(func(c *probe.P) { c.Text("child", "line", expectLines(c)) })
			reload(p)
			expectBy(p, "open", 1, 60*time.Second)
			p.Forth(tcpFlow().Orig(SYN))
			p.Text("rule", "line", expectLines(p))
		},
	},
}

// expectLines are the lines of the expectations' file, which begin with the
// seconds that are left.
func expectLines(p *probe.P) string {
	b, err := os.ReadFile(procExp)
	if errors.Is(err, fs.ErrNotExist) {
		return "no file"
	}
	p.Must(err)
	var lines []string
	for line := range strings.Lines(string(b)) {
		words := strings.Fields(line)
		lines = append(lines, strings.Join(append([]string{"N"}, words[1:]...), " "))
	}
	return listOr("none", lines)
}

// written records the line of the entry that a packet makes, and its answer
// changes, if there is one.
func written(p *probe.P, subject string, pkt, answer wire.Packet) {
	p.Flush()
	p.Forth(pkt)
	if answer.Data != nil {
		p.Back(answer)
	}
	p.Text(subject, "line", procLines(p))
}

// What differs from reading to reading: the third number of a line, the seconds
// left, and since when the entry is there.
var (
	secondsLeft = regexp.MustCompile(`^(\S+ \d+ \S+ \d+) \d+`)
	sinceWhen   = regexp.MustCompile(`delta-time=\d+`)
)

// procLines are the lines of the table's file.
func procLines(p *probe.P) string {
	b, err := os.ReadFile(procTable)
	if errors.Is(err, fs.ErrNotExist) {
		return "no file"
	}
	p.Must(err)
	var lines []string
	for line := range strings.Lines(string(b)) {
		line = strings.Join(strings.Fields(line), " ")
		line = secondsLeft.ReplaceAllString(line, "$1 N")
		lines = append(lines, sinceWhen.ReplaceAllString(line, "delta-time=N"))
	}
	return listOr("none", lines)
}
