package cli

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

// Interruptible returns a context that ends with the first Ctrl-C, or SIGTERM. A
// second one ends the program at once, with the status that a shell gives to that
// signal: guests die with the program, and what had been found stays. It does so
// also where whoever started the program had it ignore the signal, as shells do
// with what runs in the background.
func Interruptible() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-signals
		cancel()
		second := <-signals
		os.Exit(128 + int(second.(syscall.Signal))) // as all are on Linux
	}()
	return ctx
}
