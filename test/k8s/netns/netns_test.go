package netns

import (
	"net"
	"os"
	"slices"
	"testing"
)

func TestMain(m *testing.M) { os.Exit(Run(m)) }

func TestEveryAddressIsLocal(t *testing.T) {
	t.Parallel()
	for _, addr := range []string{"127.0.0.1", "10.250.0.1", "10.250.0.10", "10.250.77.1"} {
		l, err := net.Listen("tcp", net.JoinHostPort(addr, "80"))
		if err != nil {
			t.Error(err)
			continue
		}
		defer l.Close() //nolint:errcheck // of a test
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Error(err)
			continue
		}
		_ = c.Close()
	}
}

func TestNothingElseIsReached(t *testing.T) {
	t.Parallel()
	devices, err := net.Interfaces()
	if err != nil || len(devices) != 1 {
		t.Errorf("devices %v, %v; want the loopback device alone", devices, err)
	}
	if c, err := net.Dial("tcp", "192.0.2.1:80"); err == nil {
		_ = c.Close()
		t.Error("reached an address outside")
	}
}

func TestNames(t *testing.T) {
	t.Parallel()
	if found, err := net.LookupHost("nobody.example"); err == nil {
		t.Errorf("a name that nobody gave: %v", found)
	}
	Name("a.example", "10.250.0.7", "10.250.0.8")
	found, err := net.LookupHost("a.example")
	slices.Sort(found)
	if err != nil || !slices.Equal(found, []string{"10.250.0.7", "10.250.0.8"}) {
		t.Errorf("a name: %v %v", found, err)
	}
	Name("a.example")
	if found, err := net.LookupHost("a.example"); err == nil {
		t.Errorf("a name that was taken back: %v", found)
	}
}
