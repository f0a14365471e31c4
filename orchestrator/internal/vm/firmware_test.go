package vm

import "testing"

// What is proven is 64-bit code: a CPU that has none fails, though it would run
// the first instructions of any guest.
func TestRealProofReaches64Bits(t *testing.T) {
	ctx := testQEMU(t)
	for _, test := range []struct {
		cpu   string
		works bool
	}{{"qemu64", true}, {"qemu32", false}} {
		qemu := program(t, "exec "+DefaultQEMU+` "$@" -cpu `+test.cpu) // the last one counts
		proof, err := prove(ctx, qemu, TCG, firmware(), testLimit)
		if err != nil || proof.Works != test.works || proof.Unsure {
			t.Errorf("%s: %+v, %v; want that it works %v", test.cpu, proof, err, test.works)
		}
	}
}
