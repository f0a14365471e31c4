package initramfs

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/ctmatrix/ctmatrix/guest/observe"
)

// File is a member of a layer whose content comes from elsewhere: a regular
// file, unless it is a directory or a symbolic link.
type File struct {
	Name string // slash-separated, clean and relative
	Perm uint32 // of a regular file
	Data []byte
	Dir  bool
	Link string // text of a symbolic link
}

// Files is the layer with files, and the directories that they lie in. No name
// may be there twice.
func Files(list []File) (Layer, error) {
	files := make([]file, 0, len(list))
	for _, f := range list {
		if f.Name == "" || path.IsAbs(f.Name) || path.Clean(f.Name) != f.Name || strings.HasPrefix(f.Name, "..") {
			return nil, fmt.Errorf("archive %q: not a clean relative name", f.Name)
		}
		switch {
		case f.Dir:
			files = append(files, directory(f.Name))
		case f.Link != "":
			files = append(files, file{name: f.Name, mode: modeLink | 0o777, data: []byte(f.Link)})
		default:
			files = append(files, regular(f.Name, f.Perm&0o777, f.Data))
		}
	}
	return archive(files)
}

// Aliases is the layer that says under which other names the modules of a
// manifest are asked for, by the kernel and by programs: "nft-expr-1-ct". Dir is
// the directory that the manifest was made from.
func Aliases(dir string, m observe.Manifest) (Layer, error) {
	t, err := openTree(dir)
	if err != nil {
		return nil, err
	}
	var lines []string
	for _, f := range m.Files {
		_, info, err := t.read(f.Name)
		if err != nil {
			return nil, err
		}
		for _, a := range info.aliases {
			if a = canonical(a); len(strings.Fields(a)) == 1 {
				lines = append(lines, a+" "+f.Name+"\n")
			}
		}
	}
	slices.Sort(lines)
	return archive([]file{regular(inImage(observe.AliasPath), 0o644, []byte(strings.Join(lines, "")))})
}
