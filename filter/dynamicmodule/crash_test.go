package dynamicmodule

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"mcp-gateway/filter"
)

func TestDescribeTellsNothingOfContent(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		do   func()
		want string
	}{
		"index": {func() { _ = []int{}[len(t.Name())] }, "index out of range"},
		"nil":   {func() { var p *Config; _ = p.metadata }, "nil pointer"},
		"text":  {func() { panic("secret") }, ": string"},
		"error": {func() { panic(errors.New("secret")) }, "errors.errorString"},
	} {
		var line, stack string
		func() {
			defer func() { line, stack = Describe(PhaseAnswer, recover()) }()
			tt.do()
		}()
		if !strings.Contains(line, "phase answer") || !strings.Contains(line, tt.want) {
			t.Errorf("%s: %q", name, line)
		}
		if strings.Contains(line, "\n") || strings.Contains(line, "secret") || strings.Contains(line, "goroutine") {
			t.Errorf("%s: the line tells too much: %q", name, line)
		}
		if !strings.Contains(stack, "crash_test.go") {
			t.Errorf("%s: the stack does not lead to the panic: %s", name, stack)
		}
	}
}

func TestInternalError(t *testing.T) {
	t.Parallel()
	b, v := AppendInternalError(nil)
	if v != Verdict(filter.Reply)|Done {
		t.Errorf("verdict %x", v)
	}
	want := []string{"1 content-type=application/json", "1 retry-after=5", "4 =" + internalError, "6 panic="}
	if diff := cmp.Diff(want, records(t, b)); diff != "" {
		t.Error(diff)
	}
}

func TestUncountedPanicsAreCountedOnce(t *testing.T) {
	t.Parallel()
	var u Uncounted
	u.Add(PhaseTable)
	u.Add(PhaseTable)
	u.Add(PhaseRelease)
	want := []string{"7 table=", "7 table=", "7 release="}
	if diff := cmp.Diff(want, records(t, u.Take(nil))); diff != "" {
		t.Error(diff)
	}
	if b := u.Take(nil); len(b) > 0 {
		t.Errorf("counted again: %v", records(t, b))
	}
}
