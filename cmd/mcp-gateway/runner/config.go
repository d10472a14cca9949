package runner

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"go.uber.org/zap"

	"mcp-gateway/controlplane/gateway"
	"mcp-gateway/controlplane/source/file"
)

// ConfigError is a configuration file that cannot be used.
type ConfigError struct {
	File     string
	Problems []file.Problem // warnings included
}

// Error lists every problem, one a line.
func (e *ConfigError) Error() string {
	var s strings.Builder
	n := 0
	for _, p := range e.Problems {
		if !p.Warning {
			n++
		}
	}
	fmt.Fprintf(&s, "%s has %d error", e.File, n)
	if n != 1 {
		s.WriteByte('s')
	}
	for _, p := range e.Problems {
		s.WriteString("\n" + p.String())
	}
	return s.String()
}

// Load reads the file. Warnings come with a usable gateway; errors as a
// *ConfigError without one.
func Load(path string, options ...file.Option) (*gateway.Gateway, []file.Problem, error) {
	g, problems := file.Load(path, os.LookupEnv, options...)
	if g == nil {
		return nil, problems, &ConfigError{File: path, Problems: problems}
	}
	return g, problems, nil
}

// watch hands the file's gateway to apply, now and after each change, with listen
// in place of its own unless that is empty. A file that cannot be used is an
// error at first and a line in the log later, when the gateway before stays in
// force.
func watch(ctx context.Context, log *zap.Logger, path, listen string, apply func(*gateway.Gateway) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	log = log.Named("config")
	var before *gateway.Gateway
	var declared, last string // gateway.listen of the file, and of the one before
	var options []file.Option
	if listen != "" {
		options = append(options, file.WithListen(listen, func(address string) { declared = address }))
	}
	err := file.Watch(ctx, log, path, func(g *gateway.Gateway, problems []file.Problem) {
		if g == nil && before == nil {
			cancel(&ConfigError{File: path, Problems: problems})
			return
		}
		for _, p := range problems {
			if p.Warning {
				log.Warn("configuration: " + p.String())
			} else {
				log.Error("configuration not applied: " + p.String())
			}
		}
		if g == nil {
			return
		}
		if before != nil && declared != last {
			log.Warn("gateway.listen has changed in the file, but --listen holds", zap.String("listen", listen))
		}
		last = declared
		if before == nil {
			log.Info("configuration loaded", zap.String("file", path), zap.Strings("servers", names(g)))
		} else if fields := changes(before, g); len(fields) > 0 {
			log.Info("configuration changed", fields...)
		} else {
			return
		}
		if err := apply(g); err != nil {
			if before == nil {
				cancel(err)
				return
			}
			log.Error("configuration not applied", zap.Error(err))
			return
		}
		before = g
	}, options...)
	if cause := context.Cause(ctx); err == nil && cause != nil && !errors.Is(cause, context.Canceled) {
		return cause
	}
	return err
}

func names(g *gateway.Gateway) []string {
	var list []string
	for _, s := range g.EnabledServers() {
		list = append(list, s.Name)
	}
	return list
}
