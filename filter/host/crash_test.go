package host

import (
	"errors"
	"strings"
	"testing"
)

func TestDescribeTellsNothingOfContent(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		do   func()
		want string
	}{
		"index": {func() { _ = []int{}[len(t.Name())] }, "index out of range"},
		"nil":   {func() { var p *Config; _ = p.Metadata }, "nil pointer"},
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
