package ct

import (
	"testing"

	"github.com/ti-mo/conntrack"
)

// What a clash leaves can be found, and is in no list.
func TestUnlisted(t *testing.T) {
	for status, want := range map[conntrack.Status]bool{
		conntrack.StatusConfirmed | conntrack.StatusAssured:                                  false,
		conntrack.StatusConfirmed | conntrack.StatusFixedTimeout | conntrack.StatusSeenReply: true,
	} {
		if got := unlisted(entry(&conntrack.Flow{Status: status})); got != want {
			t.Errorf("status %#x: %v, want %v", uint32(status), got, want)
		}
	}
}
