package file

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/fsnotify/fsnotify"
	"go.uber.org/zap"

	"mcp-gateway/controlplane/gateway"
)

// quiet is how long a folder must be still before the file is read again,
// because editors and Kubernetes make a change in several steps; patience is
// how long a folder that never is still can put it off.
const (
	quiet    = 100 * time.Millisecond
	patience = time.Second
)

// recheck is how often the file is read without any event. Network file
// systems and some container mounts send none, and a folder that is replaced
// takes its watch with it.
const recheck = 10 * time.Second

// Watch calls changed with what Load says of the file at path, once at the
// start and then whenever its content, or that of a file its headers refer to,
// is another. A bad file gives a nil gateway: keep the one before. Calls come
// one at a time. Watch returns nil when ctx ends, and an error only if the
// system cannot watch folders at all.
func Watch(ctx context.Context, log *zap.Logger, path string, changed func(*gateway.Gateway, []Problem), options ...Option) error {
	ticker := time.NewTicker(recheck)
	defer ticker.Stop()
	w := &watcher{log: log, path: path, env: os.LookupEnv, changed: changed, options: options, tick: ticker.C}
	return w.run(ctx)
}

type watcher struct {
	log     *zap.Logger
	path    string
	env     func(string) (string, bool)
	changed func(*gateway.Gateway, []Problem)
	options []Option
	tick    <-chan time.Time

	notify *fsnotify.Watcher
	last   *inputs
	blind  map[string]bool // folders that could not be watched, already logged
}

func (w *watcher) run(ctx context.Context) error {
	notify, err := fsnotify.NewWatcher()
	if err != nil {
		return fmt.Errorf("watch %s: %w", w.path, err)
	}
	defer notify.Close()
	w.notify, w.blind = notify, map[string]bool{}

	// Folders first: a change between a read and the watch would be lost.
	w.watch([]string{w.path})
	w.read()
	settled := time.NewTimer(0)
	settled.Stop()
	defer settled.Stop()
	var since time.Time // the first event after a read
	postpone := func() {
		if since.IsZero() {
			since = time.Now()
		}
		settled.Reset(min(quiet, max(0, time.Until(since.Add(patience)))))
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case _, ok := <-notify.Events: // which file it was matters not: read decides by content
			if !ok {
				return fmt.Errorf("watch %s: the watcher closed", w.path)
			}
			postpone()
		case err := <-notify.Errors: // events were lost
			w.log.Warn("config watch", zap.String("file", w.path), zap.Error(err))
			postpone()
		case <-settled.C:
			since = time.Time{}
			w.read()
		case <-w.tick:
			w.read()
		}
	}
}

// read loads the file and reports it if something is new.
func (w *watcher) read() {
	g, problems, in := load(w.path, w.env, w.options...)
	w.watch(in.files)
	if w.last != nil && w.last.digest == in.digest {
		return
	}
	w.last = &in
	w.changed(g, problems)
}

// watch sets the watched folders to those that hold files, and those that hold
// what the files link to. A folder and not the file is watched because a file
// is mostly replaced, not written.
func (w *watcher) watch(files []string) {
	want := map[string]bool{}
	for _, f := range files {
		want[filepath.Dir(f)] = true
		if target, err := filepath.EvalSymlinks(f); err == nil {
			want[filepath.Dir(target)] = true
		}
	}
	for _, dir := range w.notify.WatchList() {
		if !want[dir] {
			_ = w.notify.Remove(dir) // gone by itself if the folder is
		}
	}
	for _, dir := range slices.Sorted(maps.Keys(want)) {
		err := w.notify.Add(dir)
		if err != nil && !w.blind[dir] {
			w.log.Warn("config folder cannot be watched", zap.String("folder", dir), zap.Error(err), zap.Duration("rechecked every", recheck))
		}
		w.blind[dir] = err != nil
	}
}
