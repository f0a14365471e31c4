package observe

// Protocol is the version of the record stream. The host refuses another.
const Protocol = 2

// Record is one line of the stream: a JSON object with exactly one member,
// which names the record's type, for example {"row":{"row":…,"kind":…}}.
type Record struct {
	Hello *Hello `json:"hello,omitempty"`
	Begin *Begin `json:"begin,omitempty"`
	Row   *Row   `json:"row,omitempty"`
	Log   *Log   `json:"log,omitempty"`
	End   *End   `json:"end,omitempty"`
	Done  *Done  `json:"done,omitempty"`

	// These come only where they were asked for.
	Packet *Packet `json:"packet,omitempty"`
	Step   *Step   `json:"step,omitempty"`
}

// Hello opens a stream: what guest is speaking and what it is going to run.
type Hello struct {
	Protocol int      `json:"protocol"`
	Release  string   `json:"release"` // uname -r
	Version  string   `json:"version"` // uname -v
	Arch     string   `json:"arch"`    // uname -m
	Modules  []Module `json:"modules"`
	Probes   []string `json:"probes"`            // in the order they run
	Tainted  uint64   `json:"tainted,omitempty"` // /proc/sys/kernel/tainted, before the first
}

// Module is the state of one kernel module the suite asked for.
type Module struct {
	Name  string      `json:"name"`
	State ModuleState `json:"state"`
	Note  string      `json:"note,omitempty"` // why, for missing and failed
}

// ModuleState says how a kernel offers a module.
type ModuleState string

// The states of a module.
const (
	ModuleLoaded  ModuleState = "loaded"
	ModuleBuiltin ModuleState = "builtin"
	ModuleMissing ModuleState = "missing"
	ModuleFailed  ModuleState = "failed"
)

// Begin opens a probe. Rows, log lines, packets and steps up to the matching End
// belong to it.
type Begin struct {
	Probe string `json:"probe"` // family/probe
}

// Log is one line of the kernel log that appeared while a probe ran.
type Log struct {
	Level int    `json:"level"` // syslog severity, 0 to 7
	AtUS  int64  `json:"at_us"` // microseconds since boot
	Text  string `json:"text"`
}

// End closes a probe.
type End struct {
	Probe     string  `json:"probe"`
	Outcome   Outcome `json:"outcome"`
	Reason    string  `json:"reason,omitempty"`
	ElapsedNS int64   `json:"elapsed_ns"`        // on the guest's monotonic clock
	Tainted   uint64  `json:"tainted,omitempty"` // /proc/sys/kernel/tainted, after it
}

// Done closes the stream. A stream without it was cut short, whatever the exit
// status of the program that wrote it.
type Done struct {
	Probes int `json:"probes"`
	Rows   int `json:"rows"`
}

// Head describes a probe without running it: what `ctagent list` prints.
type Head struct {
	Name     string   `json:"name"`     // family/probe
	Question string   `json:"question"` // one sentence, ends in a question mark
	Path     string   `json:"path"`     // what the packets travel
	Sysctls  []string `json:"sysctls,omitempty"`
	Rules    []string `json:"rules,omitempty"` // in nft's syntax, for the reader
	Needs    []string `json:"needs,omitempty"` // kernel modules
	Timed    bool     `json:"timed,omitempty"` // waits for kernel time: its rows depend on the guest's clock
	Source   string   `json:"source"`          // where the fact asked about comes from

	// Rows are what the probe records on a kernel that lacks nothing; only where
	// they were asked for.
	Rows []RowHead `json:"rows,omitempty"`
}

// RowHead says what a row means before it is recorded.
type RowHead struct {
	Name    string `json:"name"`
	Meaning string `json:"meaning"` // one line: of what, and what of it
}
