package cli

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ctmatrix/ctmatrix/images/kernel"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/matrix"
	"github.com/ctmatrix/ctmatrix/orchestrator/internal/notes"
)

// topicBlock is the indented text of a topic that begins with a word.
func topicBlock(t *testing.T, topic, begin string) string {
	t.Helper()
	for _, part := range strings.Split(topic, "\n\n") {
		if strings.HasPrefix(part, "  "+begin) {
			return strings.ReplaceAll("\n"+part, "\n  ", "\n")
		}
	}
	t.Fatalf("no block begins with %s", begin)
	return ""
}

// The examples of the topics are taken as they stand, and say what holds.
func TestTopics(t *testing.T) {
	name := filepath.Join(t.TempDir(), "matrix.yaml")
	if err := os.WriteFile(name, []byte(topicBlock(t, matrixTopic, "kernels:")), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := matrix.Load(name, nil)
	if err != nil {
		t.Fatal(err)
	}
	empty := filepath.Join(t.TempDir(), "empty.yaml")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	want, err := matrix.Load(empty, nil)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the topic does not show the defaults (-default +shown):\n%s", diff)
	}
	list, err := notes.Read("topic", strings.NewReader(topicBlock(t, notesTopic, "notes:")))
	if err != nil || len(list) != 1 {
		t.Errorf("%d notes: %v", len(list), err)
	}
}

// Every ref of the topic is one.
func TestRefsTopic(t *testing.T) {
	found := 0
	for _, line := range strings.Split(topicBlock(t, refsTopic, "debian:6.1 "), "\n") {
		for _, ref := range regexp.MustCompile(`(debian|dir|tree|host):\S*`).FindAllString(strings.Split(line+"   ", "   ")[0], -1) {
			found++
			if _, err := kernel.ParseRef(strings.TrimSuffix(ref, ",")); err != nil {
				t.Errorf("%s: %v", ref, err)
			}
		}
	}
	if found < 9 {
		t.Errorf("%d refs", found)
	}
}
