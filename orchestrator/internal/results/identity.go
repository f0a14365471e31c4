package results

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
)

// Identity is all that can change what a probe records in a cell. Two cells of
// one identity need not both be run: the rows of the one are those of the other.
//
//   - what is measured: the kernel, by the digest of its image and modules;
//   - what measures it: the agent, which holds the suite and says which modules
//     it needs, how it is packed, and the forms in which it speaks and results
//     are kept;
//   - on what: the build of QEMU and the arguments it is given, which hold
//     machine, memory, CPUs, clock and seed; these also by name, and the
//     kernel's arguments;
//   - how: whether the guest was restored or booted, in which order the probes
//     run, and whether each has a guest of its own.
//
// Not part of it is which probes were chosen: a probe leaves nothing behind and
// finds nothing, which is checked whenever one ends, so that what it records does
// not depend on the others. Nor is what a kernel was called, where it came from,
// how many guests ran beside this one, and on which host.
type Identity struct {
	Schema   int    `json:"schema"`   // of the files in a run directory
	Protocol int    `json:"protocol"` // of the agent's records
	Kernel   string `json:"kernel"`   // Kernel.Digest
	Agent    string `json:"agent"`    // Guest.Agent
	Image    string `json:"image"`    // how an image is made of both, and a guest of it

	QEMU       string   `json:"qemu"`       // version
	Build      string   `json:"build"`      // what tells this build of QEMU from others
	Machine    string   `json:"machine"`    // the one that ran
	Accel      string   `json:"accel"`      // the one that ran
	Clock      string   `json:"clock"`      //
	CPUs       int      `json:"cpus"`       //
	Memory     string   `json:"memory"`     //
	Seed       uint32   `json:"seed"`       // of what the virtual machine draws
	Args       []string `json:"args"`       // QEMU's, as far as boots share them
	KernelArgs []string `json:"kernelargs"` // the variant's

	Restored bool    `json:"restored"`
	Shuffle  *uint64 `json:"shuffle"`
	Fresh    bool    `json:"fresh"`
}

// ID is the identity in short: SHA-256 in hex.
func (i Identity) ID() string {
	sum := sha256.Sum256(i.encode())
	return hex.EncodeToString(sum[:])
}

// encode is the same for the same identity: fields in their order.
func (i Identity) encode() []byte {
	// Empty lists are alike, however they came to be.
	i.Args, i.KernelArgs = append([]string{}, i.Args...), append([]string{}, i.KernelArgs...)
	b, err := json.Marshal(i)
	if err != nil {
		panic(err) // strings, numbers and lists of them can be encoded
	}
	return b
}
