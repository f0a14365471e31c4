package vm

import "fmt"

// GDBStub has a debugger take part: it listens on a port of the host's loopback,
// to which everybody on this host can connect. The guest runs until one does.
type GDBStub struct{ Port int }

func (g GDBStub) args() []string {
	return []string{"-gdb", fmt.Sprintf("tcp:127.0.0.1:%d", g.Port)}
}
