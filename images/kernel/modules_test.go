package kernel_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ctmatrix/ctmatrix/images/kernel"
)

func TestModules(t *testing.T) {
	k := &kernel.Kernel{Candidate: kernel.Candidate{Release: "6.9.1"}, ModulesDir: put(t, t.TempDir(), map[string]string{
		"kernel/net/netfilter/nf_nat.ko": "", "kernel/drivers/net/tun.ko": "", "modules.order": "kernel/net/other.ko\n",
		"modules.builtin": "kernel/net/netfilter/nf_conntrack.ko\n\nkernel/net/core\n../up.ko\n",
	})}
	got, err := k.Modules()
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"kernel/net/netfilter/nf_nat.ko": kernel.ModuleFile, "kernel/drivers/net/tun.ko": kernel.ModuleFile,
		"kernel/net/netfilter/nf_conntrack.ko": kernel.ModuleBuiltin,
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
	// A kernel without an index of what is built in has modules all the same; one
	// that has gone from the store has none.
	k.ModulesDir = put(t, t.TempDir(), map[string]string{"kernel/net/a.ko": ""})
	if got, err := k.Modules(); err != nil || len(got) != 1 {
		t.Errorf("%v, %v", got, err)
	}
	k.ModulesDir += "/none"
	if got, err := k.Modules(); err == nil {
		t.Errorf("%v of no directory", got)
	}
}
