package chaos

import (
	"encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// clockEnv names the file with the seconds by which a process' wall clock is wrong.
const clockEnv = "MCP_GATEWAY_CHAOS_CLOCK"

// shim is a library that is loaded before the system's and adds that to the wall
// clock. It moves Redis and Envoy. Programs of Go ask the kernel themselves: the
// brokers' clocks are moved in the tests of their packages.
const shim = `
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static volatile int64_t* offset;

__attribute__((constructor)) static void begin(void) {
  const char* path = getenv("` + clockEnv + `");
  int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
  if (fd < 0) return;
  void* p = mmap(NULL, 8, PROT_READ, MAP_SHARED, fd, 0);
  close(fd);
  if (p != MAP_FAILED) offset = p;
}

static int64_t off(void) { return offset ? *offset : 0; }

int clock_gettime(clockid_t id, struct timespec* ts) {
  static int (*real)(clockid_t, struct timespec*);
  if (!real) real = (int (*)(clockid_t, struct timespec*))dlsym(RTLD_NEXT, "clock_gettime");
  int r = real(id, ts);
  if (r == 0 && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE)) ts->tv_sec += off();
  return r;
}

int gettimeofday(struct timeval* restrict tv, void* restrict tz) {
  struct timespec ts;
  int r = clock_gettime(CLOCK_REALTIME, &ts);
  if (tv) tv->tv_sec = ts.tv_sec, tv->tv_usec = ts.tv_nsec / 1000;
  return r;
}

time_t time(time_t* t) {
  struct timespec ts;
  clock_gettime(CLOCK_REALTIME, &ts);
  if (t) *t = ts.tv_sec;
  return ts.tv_sec;
}
`

// clocks are wall clocks that a test sets.
type clocks struct {
	t       *testing.T
	dir     string
	library string
}

// newClocks builds the library. Whatever starts from now on loads it.
func newClocks(t *testing.T) *clocks {
	t.Helper()
	c := &clocks{t: t, dir: t.TempDir()}
	c.library = filepath.Join(c.dir, "clock.so")
	source := filepath.Join(c.dir, "clock.c")
	write(t, source, shim)
	if out, err := exec.Command("cc", "-shared", "-fPIC", "-O1", "-o", c.library, source, "-ldl").CombinedOutput(); err != nil {
		t.Fatalf("cc: %v: %s", err, out)
	}
	c.set("redis", 0)
	t.Setenv("LD_PRELOAD", c.library)
	t.Setenv(clockEnv, c.file("redis"))
	return c
}

func (c *clocks) file(name string) string { return filepath.Join(c.dir, name+".clock") }

// env is what a process of its own clock is started with.
func (c *clocks) env(name string) string {
	c.set(name, 0)
	return clockEnv + "=" + c.file(name)
}

// set moves a process' clock so far from the right time.
func (c *clocks) set(name string, by time.Duration) {
	c.t.Helper()
	f, err := os.OpenFile(c.file(name), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		c.t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	var b [8]byte
	binary.NativeEndian.PutUint64(b[:], uint64(int64(by/time.Second)))
	if _, err := unix.Pwrite(int(f.Fd()), b[:], 0); err != nil {
		c.t.Fatal(err)
	}
}

// clockFaults move the clocks of what the gateway did not write itself.
func clockFaults() []scenario {
	jump := func(by time.Duration, names ...string) func(*world) {
		return func(w *world) {
			for _, d := range []time.Duration{by, -by, 0} {
				for _, name := range names {
					w.clocks.set(name, d)
				}
				wait(w.t, short)
			}
		}
	}
	return []scenario{
		{name: "redis clock an hour off", run: jump(time.Hour, "redis")},
		{name: "envoy clocks an hour off", run: jump(time.Hour, "envoy1", "envoy2")},
		{
			// Longer than a session may be idle: all of them are over.
			name: "redis clock a day ahead", may: lost, as: late, bound: 5 * time.Second,
			run: func(w *world) {
				w.clocks.set("redis", 25*time.Hour)
				wait(w.t, short)
				w.clocks.set("redis", 0)
			},
		},
	}
}
