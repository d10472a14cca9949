package file

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/zap/zaptest"

	"mcp-gateway/controlplane/gateway"
)

// watched runs a watcher on path and returns what it reports; nil stands for a
// bad file.
func watched(t *testing.T, path string, tick <-chan time.Time) <-chan *gateway.Gateway {
	t.Helper()
	reports, done := make(chan *gateway.Gateway, 16), make(chan error, 1)
	w := &watcher{
		log: zaptest.NewLogger(t), path: path, env: env, tick: tick,
		changed: func(g *gateway.Gateway, problems []Problem) {
			if (g == nil) != HasErrors(problems) {
				t.Errorf("gateway %v with %v", g, problems)
			}
			reports <- g
		},
	}
	ctx, cancel := context.WithCancel(t.Context())
	go func() { done <- w.run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return reports
}

// next waits for a report and checks the names of its servers, "" for a bad
// file. Reports before it are passed over: a change may be seen half done.
func next(t *testing.T, reports <-chan *gateway.Gateway, want string) {
	t.Helper()
	var seen []string
	for timeout := time.After(20 * time.Second); ; {
		select {
		case g := <-reports:
			got := ""
			if g != nil {
				for _, s := range g.Servers {
					got += s.Name
				}
			}
			if got == want {
				return
			}
			seen = append(seen, got)
		case <-timeout:
			t.Fatalf("no report of %q, only of %q", want, seen)
		}
	}
}

func config(server string) []byte {
	return fmt.Appendf(nil, "servers:\n  - name: %s\n    url: http://127.0.0.1:1/mcp\n", server)
}

func write(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

func rename(t *testing.T, from, to string) {
	t.Helper()
	if err := os.Rename(from, to); err != nil {
		t.Fatal(err)
	}
}

func link(t *testing.T, target, name string) {
	t.Helper()
	if err := os.Symlink(target, name); err != nil {
		t.Fatal(err)
	}
}

func TestWatchSeesWritesAndReplacements(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "config.yaml")
	write(t, path, config("a"))
	reports := watched(t, path, nil)
	next(t, reports, "a")

	write(t, path, config("b"))
	next(t, reports, "b")

	// As editors save: a new file takes the old one's place.
	write(t, path+".swp", config("c"))
	rename(t, path+".swp", path)
	next(t, reports, "c")

	// And after a replacement the new file is watched.
	write(t, path, config("d"))
	next(t, reports, "d")

	write(t, path, []byte("servers: ["))
	next(t, reports, "")
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	next(t, reports, "")
	write(t, path, config("e"))
	next(t, reports, "e")
}

// A ConfigMap is mounted as a link to a link to a folder with a time as name;
// the middle link is replaced.
func TestWatchFollowsConfigMap(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	version := func(name, server string) {
		if err := os.Mkdir(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dir, name, "config.yaml"), config(server))
		link(t, name, filepath.Join(dir, "..data_tmp"))
		rename(t, filepath.Join(dir, "..data_tmp"), filepath.Join(dir, "..data"))
	}
	version("..2026_1", "a")
	link(t, "..data/config.yaml", filepath.Join(dir, "config.yaml"))
	reports := watched(t, filepath.Join(dir, "config.yaml"), nil)
	next(t, reports, "a")
	for i, server := range []string{"b", "c"} {
		version(fmt.Sprintf("..2026_%d", i+2), server)
		next(t, reports, server)
	}
}

func TestWatchFollowsLinkIntoAnotherFolder(t *testing.T) {
	t.Parallel()
	target, path := filepath.Join(t.TempDir(), "real.yaml"), filepath.Join(t.TempDir(), "config.yaml")
	write(t, target, config("a"))
	link(t, target, path)
	reports := watched(t, path, nil)
	next(t, reports, "a")
	write(t, target, config("b"))
	next(t, reports, "b")
}

func TestWatchSeesRotatedSecrets(t *testing.T) {
	t.Parallel()
	secret, path := filepath.Join(t.TempDir(), "token"), filepath.Join(t.TempDir(), "config.yaml")
	write(t, secret, []byte("one\n"))
	write(t, path, append(config("a"), "    headers: {X-Token: {file: "+secret+"}}\n"...))
	reports := watched(t, path, nil)
	if g := <-reports; g.Servers[0].Headers["X-Token"] != "one" {
		t.Fatalf("%v", g)
	}
	write(t, secret+".new", []byte("two\n"))
	rename(t, secret+".new", secret)
	if g := <-reports; g == nil || g.Servers[0].Headers["X-Token"] != "two" {
		t.Fatalf("%v", g)
	}
}

// Without any event, and with a folder that was replaced, the tick finds the
// change; and a tick or an event without a change reports nothing.
func TestWatchRechecks(t *testing.T) {
	t.Parallel()
	parent := t.TempDir()
	dir := filepath.Join(parent, "config")
	replace := func(server string) {
		fresh := filepath.Join(parent, "fresh")
		if err := os.Mkdir(fresh, 0o700); err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(fresh, "config.yaml"), config(server))
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
		rename(t, fresh, dir)
	}
	replace("a")
	tick := make(chan time.Time)
	reports := watched(t, filepath.Join(dir, "config.yaml"), tick)
	next(t, reports, "a")
	tick <- time.Time{}
	tick <- time.Time{}
	write(t, filepath.Join(dir, "other"), nil)
	tick <- time.Time{}
	tick <- time.Time{} // the one before is done
	if len(reports) != 0 {
		t.Errorf("a report without a change")
	}
	replace("b")
	tick <- time.Time{}
	next(t, reports, "b")
	write(t, filepath.Join(dir, "config.yaml"), config("c")) // the new folder is watched
	next(t, reports, "c")
}

func TestWatchDoesNotWaitForABusyFolder(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "config.yaml")
	write(t, path, config("a"))
	reports := watched(t, path, nil)
	next(t, reports, "a")
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		busy := filepath.Join(dir, "busy.log")
		for tick := time.NewTicker(quiet / 10); ; {
			select {
			case <-stop:
				return
			case <-tick.C:
				if err := os.WriteFile(busy, []byte("x"), 0o600); err != nil {
					t.Error(err)
					return
				}
			}
		}
	}()
	write(t, path, config("b"))
	next(t, reports, "b")
	close(stop)
	<-stopped
}
