package supply

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
)

const version = "v0.0.0-test"

// handedOut are the programs and libraries of a release.
var handedOut = []string{"mcp-gateway", "libmcp_gateway.so", "libmcp_gateway_golang-1.38.so", "libmcp_gateway_golang-1.39.so"}

// release builds the source at dir and returns the files that it makes, by name.
func release(t *testing.T, dir string, env ...string) map[string][]byte {
	t.Helper()
	out := t.TempDir()
	c := exec.CommandContext(t.Context(), "scripts/release.sh", version, out)
	c.Dir = dir
	c.Env = append(os.Environ(), env...)
	if text, err := c.CombinedOutput(); err != nil {
		t.Fatalf("release: %v\n%s", err, text)
	}
	entries, err := os.ReadDir(out)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{}
	for _, e := range entries {
		if files[e.Name()], err = os.ReadFile(filepath.Join(out, e.Name())); err != nil {
			t.Fatal(err)
		}
	}
	return files
}

// source is the source elsewhere, without Git, as an archive of it would be.
func source(t *testing.T) string {
	t.Helper()
	c := exec.Command("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
	c.Dir = root
	names, err := c.Output()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name := range strings.SplitSeq(strings.TrimRight(string(names), "\x00"), "\x00") {
		info, err := os.Lstat(filepath.Join(root, name))
		if errors.Is(err, os.ErrNotExist) {
			continue // removed, but not yet from the repository
		}
		if err != nil {
			t.Fatal(err)
		}
		if !info.Mode().IsRegular() {
			continue
		}
		content, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), content, info.Mode()); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func unpack(t *testing.T, archive []byte) map[string][]byte {
	t.Helper()
	z, err := gzip.NewReader(bytes.NewReader(archive))
	if err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{}
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		if h.Uid != 0 || h.Uname != "" || h.ModTime.Unix() != 0 {
			t.Errorf("%s is of user %d %q and of %v", h.Name, h.Uid, h.Uname, h.ModTime)
		}
		if files[filepath.Base(h.Name)], err = io.ReadAll(r); err != nil {
			t.Fatal(err)
		}
	}
}

// Two builds give the same bytes: one here, and one in another folder, without Git.
// With SUPPLY_COLD set, as make supply does unless told, nothing of the first is in the
// cache of the second, which takes minutes.
func TestReleaseIsReproducible(t *testing.T) {
	var env []string
	if os.Getenv("SUPPLY_COLD") != "" {
		env = append(env, "GOCACHE="+t.TempDir())
	}
	first := release(t, root)
	second := release(t, source(t), env...)
	if len(first) != 3 || len(second) != len(first) {
		t.Errorf("%d and %d files", len(first), len(second))
	}
	for name, content := range first {
		if !bytes.Equal(content, second[name]) {
			t.Errorf("%s differs: %d and %d bytes", name, len(content), len(second[name]))
		}
	}

	name := fmt.Sprintf("mcp-gateway-%s-%s-%s", version, runtime.GOOS, runtime.GOARCH)
	sums := string(first["SHA256SUMS"])
	for _, file := range []string{name + ".tar.gz", name + ".cdx.json"} {
		digest := sha256.Sum256(first[file])
		if line := hex.EncodeToString(digest[:]) + "  " + file + "\n"; first[file] == nil || !strings.Contains(sums, line) {
			t.Errorf("no checksum of %s (%d bytes) in:\n%s", file, len(first[file]), sums)
		}
	}
	files := unpack(t, first[name+".tar.gz"])
	if !bytes.Equal(files["sbom.cdx.json"], first[name+".cdx.json"]) || len(files["LICENSE"]) == 0 || len(files["config.example.yaml"]) == 0 {
		t.Error("the archive lacks its bill of materials, the license or the example")
	}
	billOfMaterials(t, files)

	dir := t.TempDir()
	program := filepath.Join(dir, "mcp-gateway")
	if err := os.WriteFile(program, files["mcp-gateway"], 0o700); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(program, "version").Output(); err != nil || !strings.Contains(string(out), version) {
		t.Errorf("version: %s %v", out, err)
	}
	for _, name := range handedOut {
		here, err := filepath.Abs(root)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(files[name], []byte(here)) {
			t.Errorf("%s tells where it was built", name)
		}
	}
}

// billOfMaterials holds the SBOM to what the programs themselves say is in them.
func billOfMaterials(t *testing.T, files map[string][]byte) {
	t.Helper()
	type property struct{ Name, Value string }
	var bom struct {
		BOMFormat, SpecVersion, SerialNumber string
		Metadata                             struct {
			Component struct{ Name, Version string }
		}
		Components []struct {
			Ref           string `json:"bom-ref"`
			Type, PURL    string
			Name, Version string
			Hashes        []struct{ Alg, Content string }
			Properties    []property
		}
		Dependencies []struct {
			Ref       string
			DependsOn []string
		}
	}
	if err := json.Unmarshal(files["sbom.cdx.json"], &bom); err != nil {
		t.Fatal(err)
	}
	if bom.BOMFormat != "CycloneDX" || bom.SpecVersion != "1.6" || bom.Metadata.Component.Version != version || !strings.HasPrefix(bom.SerialNumber, "urn:uuid:") {
		t.Errorf("%+v", bom)
	}
	listed := map[string]string{} // by reference: checksum
	for _, c := range bom.Components {
		switch {
		case c.Type == "file" && len(c.Hashes) == 1:
			listed[c.Ref] = c.Hashes[0].Content
		case len(c.Properties) == 1:
			listed[c.PURL] = c.Properties[0].Value
		default:
			listed[c.PURL] = ""
		}
	}
	uses := map[string][]string{}
	for _, d := range bom.Dependencies {
		uses[d.Ref] = d.DependsOn
	}
	for _, name := range handedOut {
		digest := sha256.Sum256(files[name])
		if listed["file:"+name] != hex.EncodeToString(digest[:]) {
			t.Errorf("%s: checksum %s", name, listed["file:"+name])
		}
		info, err := buildinfo.Read(bytes.NewReader(files[name]))
		if err != nil {
			t.Fatal(err)
		}
		want := map[string]string{"pkg:golang/std@" + strings.TrimPrefix(info.GoVersion, "go"): ""}
		for _, m := range info.Deps {
			want["pkg:golang/"+m.Path+"@"+m.Version] = m.Sum
		}
		if name == "mcp-gateway" && len(want) < 10 {
			t.Errorf("%s has only %d modules: this test sees nothing", name, len(want))
		}
		for ref, sum := range want {
			if got, ok := listed[ref]; !ok || got != sum || !slices.Contains(uses["file:"+name], ref) {
				t.Errorf("%s: %s with sum %q: listed %t, %q", name, ref, sum, ok, got)
			}
		}
		if len(uses["file:"+name]) != len(want) {
			t.Errorf("%s: made of %v", name, uses["file:"+name])
		}
	}
}
