package runner

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"mcp-gateway/controlplane/envoyconfig"
	"mcp-gateway/internal/child"
)

const (
	// envoyGrace lies between SIGTERM and SIGKILL for Envoy, which needs some
	// milliseconds.
	envoyGrace = 2 * time.Second
	// An Envoy that dies before it is so old cannot be helped by starting it
	// again, not often at least.
	envoyQuick    = 10 * time.Second
	envoyMaxQuick = 5
)

// envoy is the supervised Envoy.
type envoy struct {
	path, module string
	concurrency  int
	logLevel     string
	dir          string // for its bootstrap file
	params       envoyconfig.Params
	stdout       *os.File // gets the access log, if it is to go to stdout
	log          *zap.Logger

	// ending tells that Envoy was asked to end: its warnings about that are none.
	ending atomic.Bool
}

// run keeps Envoy alive until ctx ends. Its error says why there is no use in
// going on.
func (e *envoy) run(ctx context.Context) error {
	p, err := e.process()
	if err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() { e.ending.Store(true) })()
	err = p.Run(ctx)
	if start := new(child.StartError); errors.As(err, &start) {
		return fmt.Errorf("start Envoy: %w", err)
	}
	if err != nil {
		return fmt.Errorf("the Envoy at %s %w", e.path, err)
	}
	return nil
}

// process is the child, with its bootstrap file written.
func (e *envoy) process() (*child.Process, error) {
	config, err := envoyconfig.Bootstrap(e.params)
	if err != nil {
		return nil, fmt.Errorf("write the bootstrap of Envoy: %w", err)
	}
	text, err := envoyconfig.YAML(config)
	if err != nil {
		return nil, fmt.Errorf("write the bootstrap of Envoy: %w", err)
	}
	file := filepath.Join(e.dir, "envoy.yaml")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		return nil, fmt.Errorf("write the bootstrap of Envoy: %w", err)
	}
	return &child.Process{
		Path: e.path,
		Args: []string{
			"--config-path", file,
			// Hot restart wants shared memory under an id that all Envoys of the
			// machine share; here a new process takes over nothing.
			"--disable-hot-restart",
			"--concurrency", strconv.Itoa(e.concurrency),
			"--log-level", e.logLevel,
			"--log-format", "%l\t%n\t%_",
		},
		Env:      []string{"ENVOY_DYNAMIC_MODULES_SEARCH_PATH=" + filepath.Dir(e.module)},
		Stdout:   e.stdout,
		Grace:    envoyGrace,
		Quick:    envoyQuick,
		MaxQuick: envoyMaxQuick,
		MinDelay: 200 * time.Millisecond,
		MaxDelay: 3 * time.Second,
		OnLine:   e.line,
		OnStart:  func(pid int) { e.log.Info("Envoy started", zap.Int("pid", pid)) },
		OnExit: func(reason error, restart time.Duration) {
			e.log.Error("Envoy died, starting it again", zap.NamedError("reason", reason), zap.Duration("in", restart))
		},
	}, nil
}

// line passes on what Envoy logs: level, name of the logger and message with
// tabs between. What does not look like it comes from the module's runtime or
// the system's loader, and is never good news.
func (e *envoy) line(s string) {
	if strings.TrimSpace(s) == "" {
		return
	}
	level, rest, _ := strings.Cut(s, "\t")
	name, message, ok := strings.Cut(rest, "\t")
	at, known := map[string]zapcore.Level{
		"trace": zapcore.DebugLevel, "debug": zapcore.DebugLevel, "info": zapcore.InfoLevel,
		"warning": zapcore.WarnLevel, "error": zapcore.ErrorLevel, "critical": zapcore.ErrorLevel,
	}[level]
	if !ok || !known {
		e.log.Named("envoy").Warn(s)
		return
	}
	if at == zapcore.WarnLevel && e.ending.Load() {
		at = zapcore.DebugLevel
	}
	e.log.Named("envoy."+name).Log(at, message)
}
