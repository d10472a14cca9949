// Package file reads a gateway from one YAML file, strictly: every fault is
// reported at once, with its line, and nothing is guessed. Files in the
// standalone format of Kuadrant's mcp-gateway load as they are. It also
// watches the file.
package file

import (
	"crypto/sha256"
	_ "embed"
	"fmt"
	"os"
	"path/filepath"

	"mcp-gateway/controlplane/gateway"
	"mcp-gateway/internal/pin"
)

// Schema is the JSON Schema (draft 2020-12) of the file, for editors. What it
// accepts can still be refused by Load, which sees more; never the reverse.
//
//go:embed config.schema.json
var Schema []byte

// maxFile bounds the file, maxSecret a file that a header refers to; bytes.
const (
	maxFile   = 16 << 20
	maxSecret = 64 << 10
)

// Problem is one fault at one place of the file.
type Problem struct {
	// File is empty for what is wrong with a flag.
	File string
	// Line and Column count from 1; 0 where the fault has no place, as with a
	// file that cannot be read.
	Line   int
	Column int
	// Path of the faulty value, "servers[1].prefix"; may be empty.
	Path    string
	Message string
	// Warning marks what does not keep the file from being used.
	Warning bool
}

// String formats p as compilers do, "config.yaml:12:5: servers[1].prefix: message".
func (p Problem) String() string {
	s := p.File + ": "
	if p.File == "" {
		s = ""
	}
	if p.Line > 0 {
		s = fmt.Sprintf("%s:%d:%d: ", p.File, p.Line, p.Column)
	}
	if p.Warning {
		s += "warning: "
	}
	if p.Path != "" {
		s += p.Path + ": "
	}
	return s + p.Message
}

// HasErrors reports whether problems keep the file from being used.
func HasErrors(problems []Problem) bool {
	for _, p := range problems {
		if !p.Warning {
			return true
		}
	}
	return false
}

// Load reads the file at path. env looks up the variables of ${VAR}, as
// os.LookupEnv does. The gateway is nil if and only if a problem is an error.
// Problems come in the order of the file.
func Load(path string, env func(string) (string, bool), options ...Option) (*gateway.Gateway, []Problem) {
	g, problems, _ := load(path, env, options...)
	return g, problems
}

// inputs are what a configuration was made from: the file, and the files that
// it refers to. The digest changes when one of them does.
type inputs struct {
	files  []string
	digest [sha256.Size]byte
}

func load(path string, env func(string) (string, bool), options ...Option) (*gateway.Gateway, []Problem, inputs) {
	in := inputs{files: []string{path}}
	sum := sha256.New()
	read := func(name string, limit int) ([]byte, error) {
		data, err := readFile(name, limit)
		fmt.Fprintf(sum, "%q %d %v\n", name, len(data), err)
		sum.Write(data)
		return data, err
	}
	data, err := read(path, maxFile)
	if err != nil {
		in.digest = [sha256.Size]byte(sum.Sum(nil))
		return nil, []Problem{{File: path, Message: err.Error()}}, in
	}
	beside := func(name string, limit int) ([]byte, error) {
		if !filepath.IsAbs(name) {
			name = filepath.Join(filepath.Dir(path), name)
		}
		in.files = append(in.files, name)
		return read(name, limit)
	}
	options = append(options, func(d *decoder) {
		d.readLock = func(name string) ([]byte, error) { return beside(name, pin.MaxLock) }
	})
	g, problems := decode(path, data, env, func(name string) ([]byte, error) { return beside(name, maxSecret) }, options...)
	in.digest = [sha256.Size]byte(sum.Sum(nil))
	return g, problems, in
}

// readFile reads a regular file of at most limit bytes. Its errors name the
// file's fault only: who reports them names the file.
func readFile(name string, limit int) ([]byte, error) {
	info, err := os.Stat(name)
	switch {
	case err != nil:
		return nil, fmt.Errorf("cannot be read: %w", unwrapPath(err))
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("cannot be read: not a regular file")
	case info.Size() > int64(limit):
		return nil, fmt.Errorf("cannot be read: larger than %d bytes", limit)
	}
	data, err := os.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("cannot be read: %w", unwrapPath(err))
	}
	return data, nil
}
