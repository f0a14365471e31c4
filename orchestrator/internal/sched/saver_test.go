package sched

import (
	"errors"
	"testing"

	"github.com/ctmatrix/ctmatrix/guest/observe"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/results"
)

// While one standing is being written, only the newest of the others is kept.
func TestSaverSkips(t *testing.T) {
	writing, goOn := make(chan string), make(chan struct{})
	s := newSaver(func(c results.Cell, _ []observe.Row) error {
		writing <- c.ID
		<-goOn
		return nil
	})
	s.save(results.Cell{ID: "1"}, nil)
	if got := <-writing; got != "1" {
		t.Fatalf("wrote %s first", got)
	}
	s.save(results.Cell{ID: "2"}, nil)
	s.save(results.Cell{ID: "3"}, nil)
	goOn <- struct{}{}
	if got := <-writing; got != "3" {
		t.Errorf("wrote %s after 1, not the newest", got)
	}
	go func() { goOn <- struct{}{} }()
	if err := s.close(); err != nil {
		t.Error(err)
	}
}

// What is saved stays as it was.
func TestSaverCopies(t *testing.T) {
	var got []results.Probe
	s := newSaver(func(c results.Cell, _ []observe.Row) error {
		got = c.Probes
		return nil
	})
	cell := results.Cell{Probes: []results.Probe{{Name: "a/b"}}}
	s.save(cell, nil)
	cell.Probes[0].Name = "changed"
	if err := s.close(); err != nil {
		t.Fatal(err)
	}
	if len(got) != 1 || got[0].Name != "a/b" {
		t.Errorf("wrote %v", got)
	}
}

func TestSaverFails(t *testing.T) {
	full := errors.New("disk full")
	s := newSaver(func(results.Cell, []observe.Row) error { return full })
	s.save(results.Cell{}, nil)
	s.save(results.Cell{}, nil)
	if err := s.close(); !errors.Is(err, full) {
		t.Errorf("got %v", err)
	}
}
