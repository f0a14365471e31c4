// Command ctmatrix measures how Linux connection tracking behaves, kernel by
// kernel.
package main

import (
	"os"

	"github.com/ctmatrix/ctmatrix/orchestrator/internal/cli"
)

func main() { os.Exit(cli.Main(cli.Interruptible(), os.Args[1:], os.Stdout, os.Stderr)) }
