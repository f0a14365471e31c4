package cli

import (
	"fmt"
	"os"
	"regexp"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
)

// manCommand is for those who package ctmatrix, and so not listed.
func (a *app) manCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "man DIR",
		Short: "Write manual pages",
		Long: `Writes a manual page for each command into section 1, and for each topic of help
into section 7. Pages carry today's date, or that of SOURCE_DATE_EPOCH.`,
		Hidden: true,
		Args:   a.args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := os.MkdirAll(args[0], 0o777); err != nil {
				return fmt.Errorf("write manual pages: %w", err)
			}
			root := cmd.Root()
			root.DisableAutoGenTag = true
			setOff(root)
			if err := writeMan(root, args[0], "1"); err != nil {
				return err
			}
			for _, c := range root.Commands() {
				if c.IsAdditionalHelpTopicCommand() {
					if err := writeMan(c, args[0], "7"); err != nil {
						return err
					}
				}
			}
			return nil
		},
	}
}

// writeMan writes the pages of a command and of what is below it.
func writeMan(cmd *cobra.Command, dir, section string) error {
	err := doc.GenManTreeFromOpts(cmd, doc.GenManTreeOptions{
		Header: &doc.GenManHeader{Section: section, Source: "ctmatrix " + Version, Manual: "ctmatrix"},
		Path:   dir, CommandSeparator: "-",
	})
	if err != nil {
		return fmt.Errorf("write manual pages: %w", err)
	}
	return nil
}

// indented is a line that stands as it is: in a manual page's source that takes
// four spaces.
var indented = regexp.MustCompile(`(?m)^  `)

// setOff keeps the tables in a command's help, and in that of those below, from
// being run together.
func setOff(cmd *cobra.Command) {
	cmd.Long = indented.ReplaceAllString(cmd.Long, "    ")
	for _, c := range cmd.Commands() {
		setOff(c)
	}
}
