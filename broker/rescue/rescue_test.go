package rescue

import (
	"errors"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

func TestFrom(t *testing.T) {
	t.Parallel()
	mine := errors.New("mine")
	for name, test := range map[string]struct {
		f    func() error
		want error
		logs int
	}{
		"no error": {func() error { return nil }, nil, 0},
		"error":    {func() error { return mine }, mine, 0},
		"panic":    {func() error { panic("at once") }, ErrPanic, 1},
	} {
		core, logs := observer.New(zap.ErrorLevel)
		got := func() (err error) {
			defer From(zap.New(core), &err)
			return test.f()
		}()
		if !errors.Is(got, test.want) || logs.Len() != test.logs {
			t.Errorf("%s: %v, %d lines in the log", name, got, logs.Len())
		}
	}
}
