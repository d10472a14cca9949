package freeport

import (
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
)

// askedEnv makes the test print addresses for another process.
const askedEnv = "MCP_GATEWAY_FREEPORT"

func TestNobodyIsGivenAPortTwice(t *testing.T) {
	t.Parallel()
	const n = 100
	take := func() (addrs []string) {
		for range n {
			addr, release, err := from(0)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(release)
			addrs = append(addrs, addr)
		}
		return addrs
	}
	if os.Getenv(askedEnv) != "" {
		t.Log(strings.Join(take(), " "))
		return
	}
	taken := map[string]bool{}
	for _, addr := range take() {
		if taken[addr] {
			t.Errorf("%s twice", addr)
		}
		taken[addr] = true
		l, err := net.Listen("tcp", addr)
		if err != nil {
			t.Error(err)
			continue
		}
		_ = l.Close()
	}
	other := exec.Command(os.Args[0], "-test.run=^TestNobodyIsGivenAPortTwice$", "-test.v") //nolint:gosec // this very test
	other.Env = append(os.Environ(), askedEnv+"=1")
	out, err := other.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	found := 0
	for _, word := range strings.Fields(string(out)) {
		if strings.HasPrefix(word, "127.0.0.1:") {
			found++
			if taken[word] {
				t.Errorf("%s in two processes", word)
			}
		}
	}
	if found != n {
		t.Errorf("the other process got %d addresses, want %d", found, n)
	}
}

// A process that is being started has the sockets of the one that starts it.
func TestAnAddressIsFreeWhileProgramsStart(t *testing.T) {
	t.Parallel()
	done, starting := make(chan struct{}), sync.WaitGroup{}
	for range 4 {
		starting.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
					_ = exec.Command(os.Args[0], "-test.run=^$").Run() //nolint:gosec // this very test
				}
			}
		})
	}
	addr := For(t)
	for range 5000 {
		l, err := Listen(addr)
		if err != nil {
			t.Error(err)
			break
		}
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	}
	close(done)
	starting.Wait()
}
