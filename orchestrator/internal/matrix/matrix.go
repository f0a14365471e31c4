// Package matrix reads matrix.yaml, the environment and the flags, and says
// what is to run: kernels, variants of the guest, and probes. It is the only
// user of viper.
package matrix

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
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
	Jobs     string    `mapstructure:"jobs"` // guests at a time: "auto" or a number

	Mirror          string   `mapstructure:"mirror"`          // Debian archive; the host's own if empty
	SecurityMirror  string   `mapstructure:"security_mirror"` // beside mirror if empty
	Suites          []string `mapstructure:"suites"`          // all known ones if empty
	Keyring         string   `mapstructure:"keyring"`         // the Debian archive's if empty
	AllowUnverified bool     `mapstructure:"allow_unverified"`
}

// Guest is the machine that every kernel runs on, unless a variant says
// otherwise.
type Guest struct {
	Memory  string `mapstructure:"memory"`  // "256M"
	CPUs    int    `mapstructure:"cpus"`    // more than one needs clock: host
	Machine string `mapstructure:"machine"` // "auto" or QEMU's name
	Accel   string `mapstructure:"accel"`   // "auto", "tcg" or "kvm"
	Clock   string `mapstructure:"clock"`   // "virtual" or "host"
}

// Variant is a named deviation from Guest. Empty fields do not deviate.
type Variant struct {
	Name   string   `mapstructure:"name"`
	Memory string   `mapstructure:"memory"`
	CPUs   int      `mapstructure:"cpus"`
	Clock  string   `mapstructure:"clock"`
	Args   []string `mapstructure:"args"` // more kernel arguments
}

// DefaultFile is read when no other is named, if it is there.
const DefaultFile = "matrix.yaml"

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
	{"variants", []map[string]any{{"name": "default"}}},
	{"guest::memory", "256M"},
	{"guest::cpus", 1},
	{"guest::machine", "auto"},
	{"guest::accel", "auto"},
	{"guest::clock", "virtual"},
	{"jobs", "auto"},
	{"mirror", ""},
	{"security_mirror", ""},
	{"suites", []string{}},
	{"keyring", ""},
	{"allow_unverified", false},
}

// Load reads file, or DefaultFile if file is "" and it exists, and puts
// overrides, by key, above everything else. An error is one line that says
// where the fault is and what to write instead.
func Load(file string, overrides map[string]any) (*Config, error) {
	v := viper.NewWithOptions(viper.KeyDelimiter(separator))
	v.SetEnvPrefix("ctmatrix")
	v.SetEnvKeyReplacer(strings.NewReplacer(separator, "_"))
	for _, s := range settings {
		v.SetDefault(s.key, s.value)
		if err := v.BindEnv(s.key); err != nil {
			return nil, fmt.Errorf("bind %s to the environment: %w", s.key, err)
		}
	}
	if err := readFile(v, file); err != nil {
		return nil, err
	}
	for key, value := range overrides {
		v.Set(key, value)
	}
	var c Config
	hooks := viper.DecodeHook(mapstructure.StringToSliceHookFunc(","))
	if err := v.UnmarshalExact(&c, hooks); err != nil {
		return nil, fmt.Errorf("%s: %w", source(file), oneLine(err))
	}
	if err := c.check(); err != nil {
		return nil, fmt.Errorf("%s: %w", source(file), err)
	}
	return &c, nil
}

// source names what a fault in the merged settings is blamed on.
func source(file string) string {
	if file == "" {
		return "settings"
	}
	return file
}

func readFile(v *viper.Viper, file string) error {
	name := file
	if name == "" {
		name = DefaultFile
	}
	data, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) && file == "" {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read matrix: %w", err)
	}
	if err := Check(data); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	v.SetConfigType("yaml")
	if err := v.ReadConfig(strings.NewReader(string(data))); err != nil {
		return fmt.Errorf("%s: %w", name, oneLine(err))
	}
	return nil
}

// oneLine folds the lines of a library's error into one.
func oneLine(err error) error {
	return errors.New(strings.Join(strings.Fields(strings.ReplaceAll(err.Error(), "\n", " ")), " "))
}

func (c *Config) check() error {
	if len(c.Kernels) == 0 {
		return errors.New(`kernels: none named: write kernels: ["debian:6.1"] or use --kernel debian:6.1`)
	}
	for i, k := range c.Kernels {
		if !strings.Contains(k, ":") {
			return fmt.Errorf("kernels[%d]: %q has no source: write \"debian:%s\" or \"dir:PATH\"", i, k, k)
		}
	}
	if len(c.Probes) == 0 {
		return errors.New(`probes: none chosen: write probes: ["*"] for all`)
	}
	if _, err := c.JobCount(1); err != nil {
		return err
	}
	if len(c.Variants) == 0 {
		return errors.New("variants: none: write variants: [{name: default}]")
	}
	seen := map[string]bool{}
	for i, v := range c.Variants {
		if v.Name == "" || strings.Trim(v.Name, nameBytes) != "" {
			return fmt.Errorf("variants[%d]: name %q: write one of letters, digits, - and _", i, v.Name)
		}
		if seen[v.Name] {
			return fmt.Errorf("variants[%d]: name %q stands twice", i, v.Name)
		}
		seen[v.Name] = true
		if err := c.GuestFor(v).check(); err != nil {
			return fmt.Errorf("variants[%d] (%s): %w", i, v.Name, err)
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

func (g Guest) check() error {
	mb, err := g.MemoryMB()
	if err != nil {
		return err
	}
	switch {
	case mb < 128:
		return fmt.Errorf("memory %s: kernels need 128M or more", g.Memory)
	case g.CPUs < 1 || g.CPUs > 64:
		return fmt.Errorf("cpus %d: write a number from 1 to 64", g.CPUs)
	case g.Accel != "auto" && g.Accel != "tcg" && g.Accel != "kvm":
		return fmt.Errorf("accel %q: write auto, tcg or kvm", g.Accel)
	case g.Clock != "virtual" && g.Clock != "host":
		return fmt.Errorf("clock %q: write virtual or host", g.Clock)
	case g.Clock == "virtual" && g.CPUs > 1:
		return fmt.Errorf("cpus %d: a virtual clock drives one CPU: write cpus: 1 or clock: host", g.CPUs)
	case g.Clock == "virtual" && g.Accel == "kvm":
		return errors.New("accel kvm: KVM has no virtual clock: write accel: tcg or clock: host")
	case g.Machine != "auto" && g.Machine != "q35" && g.Machine != "pc":
		return fmt.Errorf("machine %q: write auto, q35 or pc", g.Machine)
	}
	return nil
}

// MemoryMB is the memory in units of 2^20 bytes.
func (g Guest) MemoryMB() (int, error) {
	number, factor := g.Memory, 0
	switch {
	case strings.HasSuffix(number, "M"):
		factor = 1
	case strings.HasSuffix(number, "G"):
		factor = 1024
	}
	n, err := strconv.Atoi(strings.TrimRight(number, "MG"))
	if err != nil || factor == 0 || n < 0 || n > 1<<20 {
		return 0, fmt.Errorf("memory %q: write a size such as 256M or 1G", g.Memory)
	}
	return n * factor, nil
}

// JobCount is how many guests run at a time on a host with the given number of
// CPUs.
func (c *Config) JobCount(cpus int) (int, error) {
	if c.Jobs == "auto" {
		return max(1, cpus), nil
	}
	n, err := strconv.Atoi(c.Jobs)
	if err != nil || n < 1 || n > 1024 {
		return 0, fmt.Errorf("jobs %q: write auto or a number from 1 to 1024", c.Jobs)
	}
	return n, nil
}
