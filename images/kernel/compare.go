package kernel

// CompareVersions orders package versions as dpkg does: 7.3~rc7-1 before 7.3-1,
// 6.12.107-1~deb12u1 before 6.12.107-1.
func CompareVersions(a, b string) int { return compareVersions(a, b) }
