package results

// Open reads a run directory. It is held to bounds and believed in nothing:
// run directories come from other machines. The error is a *FileError.
func Open(dir string) (*Run, error) { return nil, errUnfinished }

// Find returns the run that arg names, as a user writes it: the path of a run
// directory or of a cell's directory in one, the name of one below root,
// "latest", or a kernel of the latest run, by ref, label, version or release.
// A cell or a kernel gives a Run with only the cells that it names.
func Find(root, arg string) (*Run, error) { return nil, errUnfinished }
