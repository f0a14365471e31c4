// Package matrix reads matrix.yaml, the environment and the flags, and says
// what is to run: kernels, variants of the guest, and probes. It is the only
// user of viper.
package matrix

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/go-viper/mapstructure/v2"
	"github.com/spf13/viper"
)

// Config is what one run is told. Later sources win: the built-in matrix, the
// file, the environment (CTMATRIX_GUEST_MEMORY for guest: memory:), the flags.
type Config struct {
	Kernels  []string  `mapstructure:"kernels"` // refs: "debian:6.1"
	Probes   []string  `mapstructure:"probes"`  // globs: "table-full/*"
	Variants []Variant `mapstructure:"variants"`
	Guest    Guest     `mapstructure:"guest"`
	Jobs     string    `mapstructure:"jobs"`  // guests at a time: "auto" or a number
	Notes    []string  `mapstructure:"notes"` // files of what explains changes
	// Baseline is the directory of what was blessed, and "" for none. Where nobody
	// named it, it need not be there.
	Baseline      string `mapstructure:"baseline"`
	BaselineNamed bool   `mapstructure:"-"`

	Mirror          string   `mapstructure:"mirror"`          // Debian archive; the host's own if empty
	SecurityMirror  string   `mapstructure:"security_mirror"` // beside mirror if empty
	Suites          []string `mapstructure:"suites"`          // all known ones if empty
	Keyring         string   `mapstructure:"keyring"`         // the Debian archive's if empty
	AllowUnverified bool     `mapstructure:"allow_unverified"`
}

// Guest is the machine that every kernel runs on, unless a variant says
// otherwise.
type Guest struct {
	Memory  string `mapstructure:"memory" json:"memory"`   // "256M"
	CPUs    int    `mapstructure:"cpus" json:"cpus"`       // more than one needs clock: host
	Machine string `mapstructure:"machine" json:"machine"` // "auto" or QEMU's name
	Accel   string `mapstructure:"accel" json:"accel"`     // "auto", "tcg" or "kvm"
	Clock   string `mapstructure:"clock" json:"clock"`     // "virtual" or "host"
}

// Variant is a named deviation from Guest. Empty fields do not deviate.
type Variant struct {
	Name   string   `mapstructure:"name" json:"name"`
	Memory string   `mapstructure:"memory" json:"memory"`
	CPUs   int      `mapstructure:"cpus" json:"cpus"`
	Clock  string   `mapstructure:"clock" json:"clock"`
	Args   []string `mapstructure:"args" json:"args"` // more kernel arguments
}

// DefaultVariant is the name of the variant there is where none is written.
const DefaultVariant = "default"

// DefaultFile is read when no other is named, if it is there.
const DefaultFile = "matrix.yaml"

// DefaultBaseline is where a baseline is where no other place is named.
const DefaultBaseline = "baseline"

// separator keeps viper from taking the dot in a key apart.
const separator = "::"

// settings are all keys with their defaults. A default of nil is none. The
// kernels are those of the shipped matrix.yaml.
var settings = []struct {
	key   string
	value any
}{
	{"kernels", []string{"debian:5.10", "debian:6.1", "debian:6.12", "debian:7.3"}},
	{"probes", []string{"*"}},
	{"variants", []map[string]any{{"name": DefaultVariant}}},
	{"guest::memory", "256M"},
	{"guest::cpus", 1},
	{"guest::machine", "auto"},
	{"guest::accel", "auto"},
	{"guest::clock", "virtual"},
	{"jobs", "auto"},
	{notesKey, []string{}},
	{baselineKey, DefaultBaseline},
	{"mirror", ""},
	{"security_mirror", ""},
	{"suites", []string{}},
	{"keyring", ""},
	{"allow_unverified", false},
}

// Override is a setting from the command line, with the name that faults in it
// are blamed on: "--kernel".
type Override struct {
	Value any
	Name  string
}

// Load reads file, or DefaultFile if file is "" and it exists, and puts
// overrides, by key, above everything else. The error is a *Fault, or says that
// the file cannot be read.
func Load(file string, overrides map[string]Override) (*Config, error) {
	v := viper.NewWithOptions(viper.KeyDelimiter(separator))
	v.SetEnvPrefix(envPrefix)
	v.SetEnvKeyReplacer(strings.NewReplacer(separator, "_"))
	for _, s := range settings {
		v.SetDefault(s.key, s.value)
		if s.key == variantsKey {
			continue // a list of mappings has no form in a variable
		}
		if err := v.BindEnv(s.key); err != nil {
			return nil, fmt.Errorf("bind %s to the environment: %w", s.key, err)
		}
	}
	from := origin{file: file, overrides: overrides}
	if err := from.readFile(v); err != nil {
		return nil, err
	}
	for key, o := range overrides {
		v.Set(key, o.Value)
	}
	var c Config
	hooks := viper.DecodeHook(mapstructure.StringToSliceHookFunc(","))
	if err := v.UnmarshalExact(&c, hooks); err != nil {
		return nil, from.blame(err)
	}
	if err := c.check(); err != nil {
		return nil, from.blame(err)
	}
	if from.wrote(v, notesKey) {
		for i := range c.Notes {
			c.Notes[i] = from.beside(c.Notes[i])
		}
	}
	_, flag := overrides[baselineKey]
	c.BaselineNamed = flag || os.Getenv(variableOf(baselineKey)) != "" || v.InConfig(baselineKey)
	if from.wrote(v, baselineKey) && c.Baseline != "" {
		c.Baseline = from.beside(c.Baseline)
	}
	return &c, nil
}

// origin knows where settings come from.
type origin struct {
	file      string // "" if none was read
	lines     positions
	overrides map[string]Override
}

// readFile reads the file into v, and fails where a named one is not there.
func (o *origin) readFile(v *viper.Viper) error {
	name := o.file
	if name == "" {
		name = DefaultFile
	}
	data, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) && o.file == "" {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read matrix: %w", err)
	}
	o.file = name
	var fault *Fault
	if o.lines, err = check(data); errors.As(err, &fault) {
		fault.Source = name
		return fault
	}
	v.SetConfigType("yaml")
	if err := v.ReadConfig(bytes.NewReader(data)); err != nil {
		return &Fault{Source: name, Text: oneLine(err).Error()}
	}
	return nil
}

// beside is a path that stands in the file, which is relative to where that is.
func (o *origin) beside(path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(filepath.Dir(o.file), path)
}

// wrote reports whether it is the file that a setting comes from.
func (o *origin) wrote(v *viper.Viper, key string) bool {
	_, flag := o.overrides[key]
	return !flag && os.Getenv(variableOf(key)) == "" && v.InConfig(key)
}

func variableOf(key string) string {
	return strings.ToUpper(envPrefix + "_" + strings.ReplaceAll(key, ".", "_"))
}

// blame completes an error of the merged settings with where its key was set.
func (o *origin) blame(err error) error {
	fault := &Fault{Text: oneLine(err).Error()}
	if f := (*Fault)(nil); errors.As(err, &f) {
		fault = f
	}
	key := fault.Key[:len(fault.Key)-len(strings.TrimLeft(fault.Key, keyBytes))]
	variable := variableOf(key)
	switch {
	case o.overrides[key].Name != "":
		fault.Source, fault.Key = o.overrides[key].Name, ""
	case os.Getenv(variable) != "" && key != variantsKey:
		fault.Source, fault.Key = variable, ""
	case o.file == "":
		fault.Source = "settings"
	default:
		fault.Source, fault.Line = o.file, o.lines.of(fault.Key)
	}
	return fault
}

const (
	envPrefix   = "ctmatrix"
	variantsKey = "variants"
	notesKey    = "notes"
	baselineKey = "baseline"
	guestKey    = "guest"
	keyBytes    = "abcdefghijklmnopqrstuvwxyz_." // in a key, without the index
)

// wrong is a fault of which only the key is known.
func wrong(key, format string, args ...any) error {
	return &Fault{Key: key, Text: fmt.Sprintf(format, args...)}
}

func (c *Config) check() error {
	if len(c.Kernels) == 0 {
		return wrong("kernels", `none is named: write kernels: ["debian:6.1"] or use --kernel debian:6.1`)
	}
	for i, k := range c.Kernels {
		if !strings.Contains(k, ":") {
			return wrong(fmt.Sprintf("kernels[%d]", i), `%q has no source: write "debian:%s"`, k, k)
		}
	}
	if len(c.Probes) == 0 {
		return wrong("probes", `none is chosen: write probes: ["*"] for all`)
	}
	if err := c.Guest.check(guestKey); err != nil {
		return err
	}
	if err := c.checkVariants(); err != nil {
		return err
	}
	_, err := c.JobCount(Host{CPUs: 1})
	return err
}

func (c *Config) checkVariants() error {
	if len(c.Variants) == 0 {
		return wrong(variantsKey, "there are none: write variants: [{name: default}]")
	}
	seen := map[string]bool{}
	for i, v := range c.Variants {
		key := fmt.Sprintf("%s[%d]", variantsKey, i)
		if v.Name == "" || strings.Trim(v.Name, nameBytes) != "" {
			return wrong(key, "name %q: write one of letters, digits, - and _", v.Name)
		}
		if seen[v.Name] {
			return wrong(key, "name %q stands twice: write another", v.Name)
		}
		seen[v.Name] = true
		if err := c.GuestFor(v).check(key); err != nil {
			return err
		}
	}
	return nil
}

const nameBytes = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_"

// GuestFor is the machine of a variant.
func (c *Config) GuestFor(v Variant) Guest {
	g := c.Guest
	if v.Memory != "" {
		g.Memory = v.Memory
	}
	if v.CPUs != 0 {
		g.CPUs = v.CPUs
	}
	if v.Clock != "" {
		g.Clock = v.Clock
	}
	return g
}

// Check says what keeps a machine from being run.
func (g Guest) Check() error { return g.check(guestKey) }

// check blames faults on the keys of the mapping at key.
func (g Guest) check(key string) error {
	mb, err := g.MemoryMB()
	if err != nil {
		return wrong(key+".memory", "%v", err)
	}
	switch {
	case mb < leastMB:
		return wrong(key+".memory", "%s: kernels need %dM or more", g.Memory, leastMB)
	case mb > mostMB:
		return wrong(key+".memory", "%s: a guest may have %dM or less", g.Memory, mostMB)
	case g.CPUs < 1 || g.CPUs > 64:
		return wrong(key+".cpus", "%d: write a number from 1 to 64", g.CPUs)
	case g.Accel != "auto" && g.Accel != "tcg" && g.Accel != "kvm":
		return wrong(key+".accel", "%q: write auto, tcg or kvm", g.Accel)
	case g.Clock != "virtual" && g.Clock != "host":
		return wrong(key+".clock", "%q: write virtual or host", g.Clock)
	case g.Clock == "virtual" && g.CPUs > 1:
		return wrong(key+".cpus", "%d: a virtual clock drives one CPU: write cpus: 1 or clock: host", g.CPUs)
	case g.Clock == "virtual" && g.Accel == "kvm" && key != guestKey:
		return wrong(key+".clock", "virtual: guest.accel is kvm, which has no virtual clock: write clock: host")
	case g.Clock == "virtual" && g.Accel == "kvm":
		return wrong(key+".accel", "kvm: KVM has no virtual clock: write accel: tcg or clock: host")
	case g.Machine != "auto" && g.Machine != "q35" && g.Machine != "pc":
		return wrong(key+".machine", "%q: write auto, q35 or pc", g.Machine)
	}
	return nil
}

// leastMB is what the kernels tried need to boot and run the suite.
const leastMB = 128

// mostMB is far below what else is in a guest's physical memory.
const mostMB = 32 << 10

// MemoryMB is the memory in units of 2^20 bytes.
func (g Guest) MemoryMB() (int, error) {
	number, unit := strings.TrimRight(g.Memory, "MG"), map[string]int{"M": 1, "G": 1024}
	factor := unit[strings.TrimPrefix(g.Memory, number)]
	n, err := strconv.Atoi(number)
	if err != nil || factor == 0 || n < 0 || n > 1<<20 {
		return 0, fmt.Errorf("%q is no size: write one such as 256M or 1G", g.Memory)
	}
	return n * factor, nil
}

// Host is what there is for guests to share.
type Host struct {
	CPUs     int
	MemoryMB int // units of 2^20 bytes; 0 where unknown
}

// overheadMB is what QEMU may take beside the memory of its guest: 64 MiB for
// translated code (see translations in package vm), some 25 of its own, and 22 of
// programs and libraries, which guests share. A guest of 256M that ran the whole suite
// took 227 MiB restored with it (6.1). With 192M it took 213, and five probes ran out of
// memory; with 128M the initramfs did not fit.
const overheadMB = 128

// JobCount is how many guests run at a time: with "auto" as many as there are
// CPUs for, and no more than memory holds.
func (c *Config) JobCount(h Host) (int, error) {
	if c.Jobs != "auto" {
		n, err := strconv.Atoi(c.Jobs)
		if err != nil || n < 1 || n > 1024 {
			return 0, wrong("jobs", "%q: write auto or a number from 1 to 1024", c.Jobs)
		}
		return n, nil
	}
	most, cpus := 0, 1
	for _, v := range c.Variants {
		guest := c.GuestFor(v)
		mb, err := guest.MemoryMB()
		if err != nil {
			return 0, err
		}
		most, cpus = max(most, mb), max(cpus, guest.CPUs)
	}
	n := h.CPUs / cpus
	if h.MemoryMB > 0 {
		n = min(n, h.MemoryMB/(most+overheadMB))
	}
	return max(1, n), nil
}
