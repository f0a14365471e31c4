package initramfs

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/ctmatrix/ctmatrix/guest/observe"
)

// guest is a real kernel under QEMU with the real agent in it.
type guest struct {
	console string // file
	socket  string
	qemu    *exec.Cmd
	ended   chan struct{} // closed when QEMU has ended, with err
	err     error
	config  *ssh.ClientConfig
}

// buildAgent builds the agent and returns it with what it lists.
func buildAgent(t *testing.T) ([]byte, observe.Listing) {
	path := filepath.Join(t.TempDir(), "ctagent")
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", path, "../../guest/cmd/ctagent")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build agent: %v\n%s", err, out)
	}
	bin, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(path, "list").Output()
	if err != nil {
		t.Fatalf("ask agent for its list: %v", err)
	}
	var l observe.Listing
	if err := json.Unmarshal(out, &l); err != nil {
		t.Fatal(err)
	}
	return bin, l
}

func newKey(t *testing.T) (ssh.Signer, string) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(key, "")
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return signer, string(pem.EncodeToMemory(block))
}

// boot starts a kernel with an image made of the layers.
func boot(ctx context.Context, t *testing.T, kernel []string, agent, modules Layer) *guest {
	dir := t.TempDir()
	host, hostPEM := newKey(t)
	client, _ := newKey(t)
	told, err := Boot(observe.Boot{HostKey: hostPEM, ClientKey: string(ssh.MarshalAuthorizedKey(client.PublicKey()))})
	if err != nil {
		t.Fatal(err)
	}
	image, err := os.Create(filepath.Join(dir, "image"))
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(Assemble(image, agent, modules, told), image.Close()); err != nil {
		t.Fatal(err)
	}
	g := &guest{
		console: filepath.Join(dir, "console"), socket: filepath.Join(dir, "ssh"), ended: make(chan struct{}),
		config: &ssh.ClientConfig{User: "root", Auth: []ssh.AuthMethod{ssh.PublicKeys(client)}, HostKeyCallback: ssh.FixedHostKey(host.PublicKey())},
	}
	g.qemu = exec.CommandContext(ctx, "qemu-system-x86_64", "-machine", "q35", "-nodefaults", "-no-user-config",
		"-display", "none", "-no-reboot", "-m", "256M", "-icount", "shift=2,sleep=off",
		"-device", "virtio-serial-pci", "-chardev", "socket,id=ssh,path="+g.socket+",server=on,wait=off",
		"-device", "virtserialport,chardev=ssh,name="+observe.PortName, "-serial", "file:"+g.console,
		"-kernel", kernel[1], "-initrd", image.Name(), "-append", "console=ttyS0 panic=-1 tsc=reliable quiet")
	g.qemu.Stderr = os.Stderr
	if err := g.qemu.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(g.ended)
		g.err = g.qemu.Wait()
	}()
	t.Cleanup(func() {
		_ = g.qemu.Process.Kill() // it has ended, unless the test failed
		<-g.ended
		if t.Failed() {
			data, _ := os.ReadFile(g.console)
			t.Logf("console:\n%s", data)
		}
	})
	return g
}

// waitLine waits until the console says a line.
func (g *guest) waitLine(t *testing.T, line string) {
	for {
		data, _ := os.ReadFile(g.console)
		for s := bufio.NewScanner(bytes.NewReader(data)); s.Scan(); {
			if strings.TrimSpace(s.Text()) == line {
				return
			}
		}
		select {
		case <-g.ended:
			t.Fatalf("QEMU ended before %q: %v", line, g.err)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// dial connects, sends a preamble that is not SSH, and shakes hands.
func (g *guest) dial(t *testing.T, preamble string) *ssh.Client {
	c, err := net.Dial("unix", g.socket)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Write([]byte(preamble)); err != nil {
		t.Fatal(err)
	}
	sc, chans, reqs, err := ssh.NewClientConn(c, "guest", g.config)
	if err != nil {
		select {
		case <-g.ended:
			t.Fatalf("shake hands: %v; QEMU ended: %v", err, g.err)
		default:
			t.Fatalf("shake hands: %v", err)
		}
	}
	client := ssh.NewClient(sc, chans, reqs)
	t.Cleanup(func() { client.Close() })
	return client
}

func output(t *testing.T, c *ssh.Client, command string) ([]byte, error) {
	s, err := c.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var errs bytes.Buffer
	s.Stderr = &errs
	out, err := s.Output(command)
	if errs.Len() > 0 {
		t.Logf("%s: %s", command, errs.String())
	}
	return out, err
}

func TestRealBoot(t *testing.T) {
	kernels := realKernels(t)
	bin, listing := buildAgent(t)
	agent, err := Agent(bin)
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range kernels {
		t.Run(k[0], func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
			defer cancel()
			mods, err := Modules(k[2], k[3], listing.Modules, false)
			if err != nil {
				t.Fatal(err)
			}
			began := time.Now()
			g := boot(ctx, t, k, agent, mods.Layer)
			g.waitLine(t, "ctmatrix agent: init")
			first := time.Since(began)
			g.waitLine(t, "ctmatrix agent: ready")
			t.Logf("init after %v, ready after %v", first, time.Since(began))
			drive(t, g, k[3])
		})
	}
}

// drive takes a guest through all that its agent can do.
func drive(t *testing.T, g *guest, release string) {
	c := g.dial(t, "")
	out, err := output(t, c, "/init list")
	var l observe.Listing
	if err := errors.Join(err, json.Unmarshal(out, &l)); err != nil || len(l.Probes) == 0 {
		t.Fatalf("list in the guest: %v", err)
	}
	var exit *ssh.ExitError
	if _, err := output(t, c, "/init nonsense"); !errors.As(err, &exit) || exit.ExitStatus() != 64 {
		t.Errorf("wrong usage: %v, want exit status 64", err)
	}
	if _, err := output(t, c, "/no/such/program"); !errors.As(err, &exit) || exit.ExitStatus() != 127 {
		t.Errorf("no such program: %v, want exit status 127", err)
	}
	c.Close()

	// The next clients come at once, some with rubbish before their banner.
	for range 10 {
		g.dial(t, "").Close()
		c = g.dial(t, "rubbish\nSSH-1.5-old\nSSH-")
		if _, err := output(t, c, "/init version"); err != nil {
			t.Fatalf("another client: %v", err)
		}
		c.Close()
	}
	c = g.dial(t, "")
	runSuite(t, c, release)
	// The answer does not arrive any more.
	_, _ = output(t, c, "/init poweroff")
	select {
	case <-g.ended:
		if g.err != nil {
			t.Errorf("QEMU: %v", g.err)
		}
	case <-time.After(time.Minute):
		t.Error("the guest did not power off")
	}
}

// runSuite runs all probes, but for those that wait for long, and reads what they
// record.
func runSuite(t *testing.T, c *ssh.Client, release string) {
	began := time.Now()
	out, err := output(t, c, "/init run --clock host")
	if err != nil {
		t.Fatalf("run the suite: %v", err)
	}
	elapsed := time.Since(began)
	counts := map[observe.Outcome]int{}
	r := observe.NewReader(bytes.NewReader(out), observe.Limits{})
	rows := 0
	for rec, err := r.Next(); ; rec, err = r.Next() {
		if err != nil {
			if !errors.Is(err, io.EOF) {
				t.Error(err)
			}
			break
		}
		switch {
		case rec.Hello != nil:
			if rec.Hello.Release != release {
				t.Errorf("guest runs %s, want %s", rec.Hello.Release, release)
			}
			for _, m := range rec.Hello.Modules {
				if m.State != observe.ModuleLoaded {
					t.Logf("module %+v", m)
				}
			}
		case rec.Row != nil:
			rows++
		case rec.End != nil:
			counts[rec.End.Outcome]++
			if rec.End.Outcome != observe.Recorded {
				t.Log(rec.End.Probe, rec.End.Outcome, rec.End.Reason)
			}
		}
	}
	t.Log("suite:", fmt.Sprint(counts), rows, "rows in", elapsed)
	if counts[observe.Recorded] == 0 {
		t.Error("no probe recorded anything")
	}
}
