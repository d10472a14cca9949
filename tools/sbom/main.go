// Command sbom writes what is in built programs of Go as a CycloneDX bill of
// materials, from what the linker has put into them. Equal programs give equal
// bytes: nothing in it is of the time or the machine.
//
//	sbom NAME VERSION FILE... >NAME.cdx.json
package main

import (
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/hex"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	cdx "github.com/CycloneDX/cyclonedx-go"
)

func main() {
	if len(os.Args) < 4 {
		fmt.Fprintln(os.Stderr, "usage: sbom NAME VERSION FILE...")
		os.Exit(2)
	}
	if err := run(os.Stdout, os.Args[1], os.Args[2], os.Args[3:]); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

func run(out io.Writer, name, version string, files []string) error {
	product := cdx.Component{
		BOMRef: "pkg:generic/" + name + "@" + version, Type: cdx.ComponentTypeApplication, Name: name, Version: version,
		Licenses: &cdx.Licenses{{License: &cdx.License{ID: "Apache-2.0"}}},
	}
	modules := map[string]cdx.Component{}
	var components []cdx.Component
	dependencies := []cdx.Dependency{{Ref: product.BOMRef, Dependencies: &[]string{}}}
	for _, path := range files {
		file, uses, err := inspect(path, modules)
		if err != nil {
			return err
		}
		components = append(components, file)
		*dependencies[0].Dependencies = append(*dependencies[0].Dependencies, file.BOMRef)
		dependencies = append(dependencies, cdx.Dependency{Ref: file.BOMRef, Dependencies: &uses})
	}
	for _, ref := range slices.Sorted(maps.Keys(modules)) {
		components = append(components, modules[ref])
		dependencies = append(dependencies, cdx.Dependency{Ref: ref})
	}
	bom := cdx.NewBOM()
	bom.Metadata = &cdx.Metadata{Component: &product}
	bom.Components, bom.Dependencies = &components, &dependencies
	// A serial number that says the same of the same content (RFC 9562 section 5.8).
	sum := sha256.New()
	for _, c := range components {
		fmt.Fprintln(sum, c.BOMRef)
		if c.Hashes != nil {
			fmt.Fprintln(sum, *c.Hashes)
		}
	}
	id := sum.Sum(nil)[:16]
	id[6], id[8] = id[6]&0x0f|0x80, id[8]&0x3f|0x80
	text := hex.EncodeToString(id)
	bom.SerialNumber = "urn:uuid:" + strings.Join([]string{text[:8], text[8:12], text[12:16], text[16:20], text[20:]}, "-")
	return cdx.NewBOMEncoder(out, cdx.BOMFileFormatJSON).SetPretty(true).EncodeVersion(bom, cdx.SpecVersion1_6)
}

// inspect adds the modules in the program at path, the standard library among
// them, to modules by reference, and returns the program and what it is made of.
func inspect(path string, modules map[string]cdx.Component) (file cdx.Component, uses []string, err error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return file, nil, err
	}
	info, err := buildinfo.ReadFile(path)
	if err != nil {
		return file, nil, fmt.Errorf("%s: %w", path, err)
	}
	digest := sha256.Sum256(content)
	file = cdx.Component{
		BOMRef: "file:" + filepath.Base(path), Type: cdx.ComponentTypeFile, Name: filepath.Base(path),
		Hashes: &[]cdx.Hash{{Algorithm: cdx.HashAlgoSHA256, Value: hex.EncodeToString(digest[:])}},
	}
	var settings []cdx.Property
	for _, s := range info.Settings {
		settings = append(settings, cdx.Property{Name: "go:build:" + s.Key, Value: s.Value})
	}
	file.Properties = &settings

	add := func(path, version, sum string) {
		c := cdx.Component{
			BOMRef: "pkg:golang/" + path + "@" + version, Type: cdx.ComponentTypeLibrary, Name: path, Version: version,
			PackageURL: "pkg:golang/" + path + "@" + version,
		}
		if sum != "" { // a hash of the module's files (dirhash h1), which CycloneDX has no name for
			c.Properties = &[]cdx.Property{{Name: "go:sum", Value: sum}}
		}
		modules[c.BOMRef] = c
		uses = append(uses, c.BOMRef)
	}
	add("std", strings.TrimPrefix(info.GoVersion, "go"), "")
	for _, m := range info.Deps {
		if m.Replace != nil {
			m = m.Replace
		}
		add(m.Path, m.Version, m.Sum)
	}
	slices.Sort(uses)
	return file, uses, nil
}
