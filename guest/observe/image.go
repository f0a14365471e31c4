package observe

// Paths inside the guest that the host's image builder fills and the agent
// reads. They are part of the contract between both.
const (
	AgentPath    = "/init"                      // the agent, also init
	ManifestPath = "/lib/ctmatrix/modules.json" // a Manifest
	ModuleDir    = "/lib/ctmatrix/modules"      // the modules it names, uncompressed
	BootPath     = "/etc/ctmatrix/boot.json"    // a Boot
	AliasPath    = "/lib/ctmatrix/aliases"      // "ALIAS MODULE" a line, in images that have a modprobe
)

// PortName is the virtio-serial port on which the agent serves SSH, as the
// guest finds it in /sys/class/virtio-ports/*/name.
const PortName = "ctmatrix.ssh"

// Stage is the agent's subcommand that sets a probe up until its standard input
// ends, and BoxNamespace where the probe's network namespace is mounted then.
const (
	Stage        = "stage"
	BoxNamespace = "/run/netns/box"
)

// InitLine is what the agent prints on the console when the kernel has started it,
// ReadyLine when it can be spoken to; all that it prints there begins with
// AgentPrefix. PowerOff is its subcommand that ends the guest.
const (
	AgentPrefix = "ctmatrix agent: "
	InitLine    = AgentPrefix + "init"
	ReadyLine   = AgentPrefix + "ready"
	PowerOff    = "poweroff"
)

// Listing is what `ctagent list` prints: everything the host must know of the
// suite before it boots a guest.
type Listing struct {
	Modules []string `json:"modules"` // every kernel module that some probe or the agent needs
	Probes  []Head   `json:"probes"`
}

// Manifest lists the modules of an image: those that the kernel offers as
// files, with their dependencies, and the ones wanted but not to be loaded.
type Manifest struct {
	Release string         `json:"release"`
	Files   []ManifestFile `json:"files"`   // dependencies before dependents
	Builtin []string       `json:"builtin"` // wanted, and part of the image
	Merged  []MergedModule `json:"merged"`  // wanted, and part of another module of this kernel
	Missing []string       `json:"missing"` // wanted, and nowhere to be found
}

// MergedModule is a module of older kernels whose content another one has here.
type MergedModule struct {
	Name string `json:"name"`
	Into string `json:"into"` // loaded in its place
}

// ManifestFile is one module file in ModuleDir.
type ManifestFile struct {
	Name   string   `json:"name"` // canonical, with underscores
	File   string   `json:"file"` // base name below ModuleDir
	Deps   []string `json:"deps,omitempty"`
	Wanted bool     `json:"wanted,omitempty"` // asked for by name, not only a dependency
}

// Boot is what one boot of a guest is told: made anew every time.
type Boot struct {
	HostKey   string `json:"host_key"`   // private key of the guest's SSH server, OpenSSH PEM
	ClientKey string `json:"client_key"` // the only public key let in, authorized_keys format
}
