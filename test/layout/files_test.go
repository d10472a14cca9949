package layout

import (
	"bytes"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const (
	maxLines = 400       // of a Go file that people write
	maxBytes = 512 << 10 // of any file
)

var (
	generated = regexp.MustCompile(`(?m)^// Code generated .* DO NOT EDIT\.$`)
	// Package registries are set up where the project is built, not in it; and
	// the paths of a machine mean nothing on another. In pieces, so that this
	// file does not find itself.
	foreign = regexp.MustCompile(`(?i)` + strings.Join([]string{
		`\bpypi\.` + `org\b`, `pythonhosted\.` + `org\b`, `registry\.npmjs\.` + `org\b`, `proxy\.golang\.` + `org\b`,
		`sum\.golang\.` + `org\b`, `\bdeb\.debian\.` + `org\b`, `repo\.maven\.` + `apache`, `static\.crates\.` + `io\b`,
		`(^|[^\w$}/"]|[\s=(,:]")(/work/` + `(main|shared)\b|/root/` + `\w|/home/` + `\w+/)`, `\.\./` + `shared\b`,
	}, "|"))
)

// files are the repository's files with their content, also those not yet
// added to it.
func files(t *testing.T) map[string][]byte {
	t.Helper()
	c := exec.Command("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
	c.Dir = "../.."
	out, err := c.Output()
	if err != nil {
		t.Fatalf("git ls-files: %v", err)
	}
	found := map[string][]byte{}
	for name := range strings.SplitSeq(strings.TrimRight(string(out), "\x00"), "\x00") {
		content, err := os.ReadFile(filepath.Join("../..", name))
		if os.IsNotExist(err) {
			continue // removed, but not yet from the repository
		}
		if err != nil {
			t.Fatal(err)
		}
		found[name] = content
	}
	if len(found) < 50 {
		t.Fatalf("only %d files: this test sees nothing", len(found))
	}
	return found
}

// commented reports whether a Go file has a package comment.
func commented(t *testing.T, path string) bool {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.PackageClauseOnly|parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	return f.Doc != nil
}

func TestFilesStaySmall(t *testing.T) {
	t.Parallel()
	for name, content := range files(t) {
		lines := bytes.Count(content, []byte("\n"))
		if strings.HasSuffix(name, ".go") && lines >= maxLines && !generated.Match(content) {
			t.Errorf("%s has %d lines, want less than %d: which noun is missing?", name, lines, maxLines)
		}
		if len(content) > maxBytes {
			t.Errorf("%s has %d bytes, want at most %d", name, len(content), maxBytes)
		}
	}
}

func TestNoFileNamesAMachineOrARegistry(t *testing.T) {
	t.Parallel()
	for name, content := range files(t) {
		for i, line := range bytes.Split(content, []byte("\n")) {
			if found := foreign.Find(line); found != nil {
				t.Errorf("%s:%d says %q", name, i+1, found)
			}
		}
	}
}

func TestNoHiddenStarts(t *testing.T) {
	t.Parallel()
	initializer := regexp.MustCompile(`(?m)^func init\(\)`)
	sleep := regexp.MustCompile(`\btime\.` + `Sleep\(`)
	for name, content := range files(t) {
		if !strings.HasSuffix(name, ".go") {
			continue
		}
		// Envoy loads this library and calls no main of it: it registers as it is loaded.
		registers := name == "filter/golang/lib/main.go" || name == "test/golanghost/plugin/main.go"
		if initializer.Match(content) && !registers && !generated.Match(content) {
			t.Errorf("%s has an init function: start things where one sees it", name)
		}
		// In a bubble of synctest a sleep takes no time.
		bubble := bytes.Contains(content, []byte(`"testing/synctest"`))
		if strings.HasSuffix(name, "_test.go") && sleep.Match(content) && !bubble {
			t.Errorf("%s sleeps: wait for what is to happen, or use testing/synctest", name)
		}
	}
}

func TestGeneratedFilesAreNamedSo(t *testing.T) {
	t.Parallel()
	for name, content := range files(t) {
		if !strings.HasSuffix(name, ".go") {
			continue
		}
		base := filepath.Base(name)
		named := strings.HasSuffix(name, ".pb.go") || strings.HasSuffix(name, ".gen.go") || strings.HasPrefix(base, "zz_generated.")
		if named != generated.Match(content) {
			t.Errorf("%s: a generated file is *.pb.go, *.gen.go or zz_generated.*.go, and no other is", name)
		}
	}
}

func TestLicenseIsApache2(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../LICENSE")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(text, []byte("Apache License")) || !bytes.Contains(text, []byte("Version 2.0, January 2004")) {
		t.Error("LICENSE is not the Apache License 2.0")
	}
}

// One Envoy version is the default, and everybody means the same.
func TestTheDefaultEnvoyIsTheSameEverywhere(t *testing.T) {
	t.Parallel()
	all := files(t)
	pin := regexp.MustCompile(`(?m)^readonly ENVOY_DEFAULT=(\S+)$`).FindSubmatch(all["scripts/tools.sh"])
	if pin == nil {
		t.Fatal("scripts/tools.sh has no ENVOY_DEFAULT")
	}
	use := regexp.MustCompile(`\.tools/envoy/([0-9]+\.[0-9]+\.[0-9]+)`)
	for name, content := range all {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		for _, found := range use.FindAllSubmatch(content, -1) {
			if !bytes.Equal(found[1], pin[1]) {
				t.Errorf("%s uses Envoy %s, the default is %s", name, found[1], pin[1])
			}
		}
	}
}
