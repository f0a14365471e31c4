package cli

import "github.com/spf13/cobra"

// topics are pages of help that belong to no command: `ctmatrix help refs`.
func (a *app) topics() []*cobra.Command {
	var out []*cobra.Command
	for _, t := range []struct{ name, short, long string }{
		{"exit-status", "What a command's exit status says", exitStatusTopic},
		{"refs", "How kernels are named", refsTopic},
		{"notes", "How a change is explained", notesTopic},
		{"matrix.yaml", "What the matrix file may hold", matrixTopic},
	} {
		out = append(out, &cobra.Command{Use: t.name, Short: t.short, Long: t.long, DisableFlagsInUseLine: true})
	}
	return out
}

const exitStatusTopic = `  0   nothing differs, or notes explain all that does
  1   behaviour differs, and nothing explains it
  2   ctmatrix or a kernel's run failed: something could not be compared
  64  wrong usage; one line says which, and how to mend it
  130 interrupted a second time, and ended at once (143: terminated so)

So of run, diff and timeline. A failure weighs more than a change, since more changes
may hide behind it. Others differ:

  bisect     1 where it found a change, explained or not, 2 where it could not decide
  stability  1 where values differ on the same kernel
  report     0 whatever the run found: it tells, and does not judge`

const refsTopic = `A kernel is named by a ref, with --kernel, in kernels: of matrix.yaml, or where a
command takes one:

  debian:6.1                  the newest of the series in any of Debian's suites
  debian:6.1.192-2            exactly that package
  debian:6.12.*               all there are of a series
  debian:6.1..6.12            all there are from one to the other
  debian:*                    all there are
  debian:trixie               what that suite ships
  dir:PATH                    a vmlinuz and its modules in a directory
  tree:PATH                   a kernel's build tree after make, or make O='s
  host:                       the running kernel
  host:6.1.0-56-amd64         another that is installed, by its release

Behind a ref of Debian's may stand ?flavour=cloud, generic or rt (default cloud), and
?arch=. A shell takes * and ? for its own: write such refs in quotes.

Of the latest run, diff and report also know a kernel by its label (6.1.192), its
version or its release. ctmatrix kernels list shows what there is.`

const notesTopic = `A note says why rows differ, and since which kernels, branch by branch:

  notes:
    - rows: [tcp-rst/in-window*/rst.timeout]
      since: {mainline: "7.3-rc1", "6.12": "6.12.117"}
      reason: A RST in the window that does not close leaves the entry its time
      commit: "bf80e6802273 netfilter: conntrack: tcp: use UNACK timeout"
      link: https://example.org/why
      expires: 2027-06-30

  rows     patterns of rows, probes or families; * stands for what is between slashes
  since    the release from which a branch has it: the mainline's, and that of each
           stable series it was backported to
  reason   one line
  commit   the upstream commit, by id or title; optional, as are the next two
  link     where more is said
  expires  the last day on which it explains anything

It explains a difference between any two kernels of which one has the change and the
other has not, and never one on the same kernel. Files of notes are named by notes:
in matrix.yaml, beside it, or by --notes. A note that has expired, or that explains
nothing although its rows were asked on both sides, is reported.`

const matrixTopic = `matrix.yaml in the working directory, or the file that --config names, says what a
run is made of. A key that is not there has the value below; a variable of the
environment, CTMATRIX_GUEST_MEMORY=512M, stands above the file, and a flag above
that.

  kernels: ["debian:5.10", "debian:6.1", "debian:6.12", "debian:7.3"]
                           # refs, in quotes: see ctmatrix help refs
  probes: ["*"]            # globs of probes or families
  variants:
    - name: default        # with memory, cpus, clock and args of its own
  guest:
    memory: 256M
    cpus: 1                # more take clock: host
    machine: auto
    accel: auto            # or tcg, kvm
    clock: virtual         # or host
  jobs: auto               # guests at a time
  notes: []                # files, beside this one: see ctmatrix help notes
  mirror: ""               # Debian's archive; empty: the one apt uses
  security_mirror: ""      # empty: beside the other
  suites: []               # of Debian; empty: all that are known
  keyring: ""              # what indexes are signed with; empty: Debian's
  allow_unverified: false  # true: also packages that no signed index lists

An unknown key is an error, and so is a kernel without quotes: YAML reads 5.10 as
5.1.`
