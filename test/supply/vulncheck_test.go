// Package supply tests what is handed out and what it is made with: the release,
// the check for known vulnerabilities, pinned tools, images. `make supply` runs it.
package supply

import (
	"encoding/json"
	"errors"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const root = "../.."

// database writes a vulnerability database in the form of the Go project's
// (go.dev/doc/security/vuln/database), in which json.Unmarshal is vulnerable in all
// versions, or nothing.
func database(t *testing.T, vulnerable bool) string {
	t.Helper()
	const id, when = "GO-2026-99999", "2026-01-02T03:04:05Z"
	type object = map[string]any
	modules, vulns := []object{}, []object{}
	dir := t.TempDir()
	write := func(name string, v any) {
		text, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if vulnerable {
		modules = append(modules, object{"path": "stdlib", "vulns": []object{{"id": id, "modified": when}}})
		vulns = append(vulns, object{"id": id, "modified": when, "aliases": []string{}})
		write("ID/"+id+".json", object{
			"schema_version": "1.3.1", "id": id, "modified": when, "published": when, "summary": "made up by a test",
			"database_specific": object{"url": "https://vulns.example/" + id},
			"affected": []object{{
				"package":            object{"name": "stdlib", "ecosystem": "Go"},
				"ranges":             []object{{"type": "SEMVER", "events": []object{{"introduced": "0"}}}},
				"ecosystem_specific": object{"imports": []object{{"path": "encoding/json", "symbols": []string{"Unmarshal"}}}},
			}},
		})
	}
	write("index/db.json", object{"modified": when})
	write("index/modules.json", modules)
	write("index/vulns.json", vulns)
	path, err := filepath.Abs(dir)
	if err != nil {
		t.Fatal(err)
	}
	return (&url.URL{Scheme: "file", Path: path}).String()
}

func vulncheck(t *testing.T, env ...string) (status int, output string) {
	t.Helper()
	c := exec.CommandContext(t.Context(), "scripts/vulncheck.sh", "./internal/principal")
	c.Dir = root
	c.Env = append(os.Environ(), env...)
	out, err := c.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return c.ProcessState.ExitCode(), string(out)
}

// The check fails for what the code reaches, passes for a database without it, and
// says so where it could look at nothing.
func TestVulncheck(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		env    []string
		status int
		says   string
	}{
		"a vulnerability that is reached": {[]string{"VULNDB=" + database(t, true)}, 3, "GO-2026-99999"},
		"none":                            {[]string{"VULNDB=" + database(t, false)}, 0, "No vulnerabilities found"},
		"a copy that is not there":        {[]string{"VULNDB=file:///nonexistent/vulndb"}, 1, ""},
		// No name can be looked up and no address of a proxy answers.
		"no network": {[]string{"VULNDB=", "HTTPS_PROXY=http://127.0.0.1:9", "https_proxy=http://127.0.0.1:9"}, 77, "NOT DONE"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			status, output := vulncheck(t, tt.env...)
			if status != tt.status || !strings.Contains(output, tt.says) {
				t.Errorf("exit status %d, want %d and %q:\n%s", status, tt.status, tt.says, output)
			}
		})
	}
}
