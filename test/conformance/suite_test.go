package conformance

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"mcp-gateway/test/e2e/harness"
)

const (
	// scenarioLimit bounds one scenario; one that passes takes less than a second.
	scenarioLimit = "20000" // ms
	suiteLimit    = 8 * time.Minute
)

// findings are the checks of one scenario.
type findings struct {
	Passed int
	Failed []string // what was wrong with each
}

// report is what the suite found, by scenario.
type report map[string]findings

// passed is the number of all checks that passed.
func (r report) passed() int {
	sum := 0
	for _, f := range r {
		sum += f.Passed
	}
	return sum
}

// scenarios are the names in any of the reports, sorted.
func scenarios(reports ...report) []string {
	all := report{}
	for _, r := range reports {
		maps.Copy(all, r)
	}
	return slices.Sorted(maps.Keys(all))
}

// suite runs the conformance suite. Its verdict is not asked for, only its
// findings: a scenario that fails directly may fail through the gateway too.
func suite(t *testing.T, env []string, args ...string) report {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), suiteLimit)
	defer cancel()
	dir := t.TempDir()
	args = append([]string{harness.Tool(t, "test/conformance/node_modules/.bin/conformance")}, args...)
	args = append(args, "--timeout", scenarioLimit, "--output-dir", dir)
	c := exec.CommandContext(ctx, harness.Tool(t, ".tools/node/bin/node"), args...)
	c.Dir = harness.Root(t)
	c.Env = append(c.Environ(), env...)
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	// A client of the suite that was killed may leave what it started.
	c.WaitDelay = 10 * time.Second
	var out bytes.Buffer
	c.Stdout, c.Stderr = &out, &out
	err := c.Run()
	var exit *exec.ExitError
	if err != nil && (!errors.As(err, &exit) || ctx.Err() != nil) {
		t.Fatalf("%s: %v\n%s", strings.Join(args, " "), err, tail(out.String()))
	}
	found := read(t, dir)
	if len(found) == 0 {
		t.Fatalf("%s: no findings\n%s", strings.Join(args, " "), tail(out.String()))
	}
	t.Logf("%s\n%s", strings.Join(args, " "), tail(out.String()))
	return found
}

func tail(text string) string { return text[max(0, len(text)-6000):] }

// folder of a scenario's findings: its name, after "server-" in server scenarios,
// and the time.
var folder = regexp.MustCompile(`^(?:server-)?(.*)-\d{4}-\d\d-\d\dT[0-9-]+Z$`)

func read(t *testing.T, dir string) report {
	t.Helper()
	found := report{}
	err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil || filepath.Base(path) != "checks.json" {
			return err
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		var checks []struct{ ID, Description, Status, ErrorMessage string }
		if err := json.Unmarshal(content, &checks); err != nil {
			return err
		}
		name, err := filepath.Rel(dir, filepath.Dir(path))
		if err != nil {
			return err
		}
		if m := folder.FindStringSubmatch(name); m != nil {
			name = m[1]
		}
		f := found[name]
		for _, c := range checks {
			switch c.Status {
			case "SUCCESS":
				f.Passed++
			case "FAILURE", "WARNING":
				f.Failed = append(f.Failed, c.Status+" "+c.ID+": "+c.Description+": "+c.ErrorMessage)
			}
		}
		found[name] = f
		return nil
	})
	if err != nil {
		t.Fatalf("read the findings: %v", err)
	}
	return found
}
