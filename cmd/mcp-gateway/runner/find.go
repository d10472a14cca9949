package runner

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"mcp-gateway/controlplane/envoyconfig"
)

// EnvoyVersion is the Envoy that the build fetches; others that are tested work
// as well.
const EnvoyVersion = "1.39.3"

// moduleFile is what the build calls the filter's library, golangFile the one for
// contrib's filter for Go.
const (
	moduleFile = "libmcp_gateway.so"
	golangFile = "libmcp_gateway_golang.so"
)

// findEnvoy returns the executable of Envoy: the one that was named, else that
// of $ENVOY, else the one that the build fetched, else the one in PATH.
func findEnvoy(named string) (string, error) {
	for _, choice := range []struct{ path, from string }{{named, "--envoy"}, {os.Getenv("ENVOY"), "$ENVOY"}} {
		if choice.path == "" {
			continue
		}
		path, err := exec.LookPath(choice.path)
		if err != nil {
			return "", fmt.Errorf("%s does not name Envoy's executable: %w", choice.from, err)
		}
		return filepath.Abs(path)
	}
	fetched := filepath.Join(".tools", "envoy", EnvoyVersion, "envoy")
	var looked []string
	for _, dir := range homes() {
		for _, up := range []string{".", ".."} {
			path := filepath.Join(dir, up, fetched)
			if _, err := exec.LookPath(path); err == nil {
				return path, nil
			}
			looked = append(looked, path)
		}
	}
	if path, err := exec.LookPath("envoy"); err == nil {
		return filepath.Abs(path)
	}
	return "", fmt.Errorf("no Envoy at %s, nor in PATH: fetch it with 'make build', or name one with --envoy or $ENVOY",
		strings.Join(looked, ", "))
}

// findModule returns the filter's library: the one that was named, else the one
// beside this executable, else that in bin of the current folder.
func findModule(named string, host envoyconfig.Host) (string, error) {
	file := moduleFile
	if host == envoyconfig.HostGolang {
		file = golangFile
	}
	if named != "" {
		if _, err := moduleName(named); err != nil {
			return "", err
		}
		if _, err := os.Stat(named); err != nil {
			return "", fmt.Errorf("--module: %w", err)
		}
		return filepath.Abs(named)
	}
	var looked []string
	for _, dir := range homes() {
		for _, below := range []string{".", "bin"} {
			path := filepath.Join(dir, below, file)
			if _, err := os.Stat(path); err == nil {
				return path, nil
			}
			looked = append(looked, path)
		}
	}
	return "", fmt.Errorf("no filter library at %s: build it with 'make build', or name it with --module", strings.Join(looked, ", "))
}

// moduleName is how Envoy's configuration names the library at path.
func moduleName(path string) (string, error) {
	base := filepath.Base(path)
	name, isLib := strings.CutPrefix(base, "lib")
	name, isSo := strings.CutSuffix(name, ".so")
	if !isLib || !isSo || name == "" {
		return "", fmt.Errorf("filter library %s: Envoy loads only files named lib<name>.so", base)
	}
	return name, nil
}

// homes are the folders to look in: that of this executable, and the current.
func homes() []string {
	var dirs []string
	if path, err := os.Executable(); err == nil {
		if real, err := filepath.EvalSymlinks(path); err == nil {
			path = real
		}
		dirs = append(dirs, filepath.Dir(path))
	}
	if dir, err := os.Getwd(); err == nil && (len(dirs) == 0 || dirs[0] != dir) {
		dirs = append(dirs, dir)
	}
	return dirs
}
