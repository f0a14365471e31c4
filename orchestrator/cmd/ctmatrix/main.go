// Command ctmatrix measures how Linux connection tracking behaves, kernel by
// kernel.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/ctmatrix/ctmatrix/orchestrator/internal/cli"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// A second interrupt finds the default handler and ends the program at once.
	context.AfterFunc(ctx, stop)
	os.Exit(cli.Main(ctx, os.Args[1:], os.Stdout, os.Stderr))
}
