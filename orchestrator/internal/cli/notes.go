package cli

import (
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/ctmatrix/ctmatrix/orchestrator/internal/notes"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/table"
)

// notesFlag is the flag of what tells explained changes from others.
func (a *app) notesFlag(cmd *cobra.Command) {
	cmd.Flags().StringArray("notes", nil, "file of notes that explain changes, instead of the matrix's (several times)")
}

// book reads the notes that the settings name.
func (a *app) book(cmd *cobra.Command) (table.Book, error) {
	c, err := a.settings(cmd)
	if err != nil {
		return table.Book{}, err
	}
	b := table.Book{Day: time.Now()}
	for _, name := range c.Notes {
		list, err := readNotes(name)
		if err != nil {
			return table.Book{}, usage{err}
		}
		b.Notes = append(b.Notes, list...)
	}
	return b, nil
}

func readNotes(name string) ([]notes.Note, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("read notes: %w: name another file with --notes or notes: in the matrix", err)
	}
	defer f.Close() // only read
	return notes.Read(name, f)
}
