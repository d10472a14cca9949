package e2e

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"mcp-gateway/test/e2e/harness"
)

// block is a fenced block of a Markdown file. What follows the fence tells what
// it is: "sh test=NAME" is run, in one shell with the others of that name;
// "text output" (in any language) is what the block before it must print;
// "yaml config" is a configuration file; "example=NAME" is for a test that asks
// for it.
type block struct {
	line     int
	language string
	mark     string
	text     string
}

func blocks(t *testing.T, text string) []block {
	t.Helper()
	var found []block
	open := false
	for i, line := range strings.Split(text, "\n") {
		info, fence := strings.CutPrefix(line, "```")
		switch {
		case fence && !open:
			language, mark, _ := strings.Cut(info, " ")
			found = append(found, block{line: i + 2, language: language, mark: mark})
			open = true
		case fence:
			open = false
		case open:
			found[len(found)-1].text += line + "\n"
		}
	}
	if open {
		t.Fatal("the file ends within a block")
	}
	return found
}

// missing is the first line of want that is not in output after those before it.
// "…" in a line stands for anything.
func missing(want, output string) string {
	for line := range strings.Lines(want) {
		line = strings.TrimSpace(line)
		for part := range strings.SplitSeq(line, "…") {
			_, rest, ok := strings.Cut(output, part)
			if !ok {
				return line
			}
			output = rest
		}
	}
	return ""
}

// page returns the blocks of a Markdown file of the repository.
func page(t *testing.T, path string) []block {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(harness.Root(t), path))
	if err != nil {
		t.Fatal(err)
	}
	return blocks(t, string(text))
}

// example is the block of a page that is marked as example=NAME.
func example(t *testing.T, path, name string) block {
	t.Helper()
	for _, b := range page(t, path) {
		if b.mark == "example="+name {
			return b
		}
	}
	t.Fatalf("%s has no example %s", path, name)
	return block{}
}

// TestReadmeCommands runs the README's commands against the demo servers, at
// another address than the README's.
func TestReadmeCommands(t *testing.T) {
	t.Parallel()
	type example struct {
		block
		want string
	}
	shells := map[string][]example{}
	last := "" // the shell whose output the next block may tell
	for _, b := range page(t, "README.md") {
		name, run := strings.CutPrefix(b.mark, "test=")
		switch {
		case run && b.language == "sh":
			shells[name] = append(shells[name], example{block: b})
			last = name
			continue
		case b.mark == "output" && last == "":
			t.Errorf("README.md:%d: an output without a command that is run", b.line)
		case b.mark == "output":
			shells[last][len(shells[last])-1].want = b.text
		}
		last = ""
	}
	if len(shells) == 0 {
		t.Fatal("no command of the README is marked with test=NAME")
	}
	g := harness.Run(t, harness.Config{
		Gateway: []string{"hostnames: [mcp.127-0-0-1.sslip.io, localhost, 127.0.0.1]"},
		Servers: []harness.Server{
			{Name: "weather", URL: harness.Demo(t, "weather"), Prefix: "weather_"},
			{Name: "cal", URL: harness.Demo(t, "cal"), Prefix: "cal_"},
		},
	})
	_, port, err := net.SplitHostPort(g.Addr())
	if err != nil {
		t.Fatal(err)
	}
	for name, shell := range shells {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const line = "-- end of example --\n"
			script := "set -euo pipefail\n"
			for _, e := range shell {
				script += strings.ReplaceAll(e.text, "8888", port) + "\necho; printf -- '" + line + "'\n"
			}
			c := exec.CommandContext(t.Context(), "bash", "-c", script)
			c.Dir = harness.Root(t)
			var stderr strings.Builder
			c.Stderr = &stderr
			out, err := c.Output()
			if err != nil {
				t.Fatalf("%v\n%s\n%s", err, out, stderr.String())
			}
			outputs := strings.Split(string(out), line)
			for i, e := range shell {
				if e.want == "" {
					continue
				}
				if lost := missing(e.want, outputs[i]); lost != "" {
					t.Errorf("README.md:%d: the output has no %q after what comes before it:\n%s", e.line, lost, outputs[i])
				}
			}
		})
	}
}

// TestShownConfigurations validates the configuration files of the README and of
// the pages in docs, with the files and the environment that they name.
func TestShownConfigurations(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "gateway.yaml")
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("tickets.key", "x\n")
	write("exchange.secret", "x\n")
	write("tools.lock", `{"version":1,"servers":{}}`)
	environment := []string{"GITHUB_AUTHORIZATION=Bearer x", "REDIS_PASSWORD=x", "SESSION_KEY=" + strings.Repeat("k", 32),
		"OLD_SESSION_KEY=" + strings.Repeat("o", 32), "TICKETS_TOKEN=x", "IDP_SECRET=x",
		"CI_KEY=" + strings.Repeat("c", 32), "CI_KEY_NEXT=" + strings.Repeat("n", 32)}
	docs, err := os.ReadDir(filepath.Join(harness.Root(t), "docs"))
	if err != nil {
		t.Fatal(err)
	}
	paths := []string{"README.md"}
	for _, d := range docs {
		paths = append(paths, "docs/"+d.Name())
	}
	found := map[string]int{}
	for _, path := range paths {
		for _, b := range page(t, path) {
			if b.mark != "config" {
				continue
			}
			found[path]++
			write("gateway.yaml", b.text)
			p := harness.Start(t, "validate", harness.Built(t, "mcp-gateway"), []string{"validate", file}, environment...)
			if code := p.ExitCode(harness.Patience); code != 0 {
				t.Errorf("%s:%d: not valid: %s", path, b.line, p.Stderr().Tail(20))
			}
		}
	}
	if found["README.md"] == 0 || found["docs/credentials.md"] < 3 {
		t.Errorf("configurations by page: %v: this test sees too few", found)
	}
}

func TestReadmeRunner(t *testing.T) {
	t.Parallel()
	got := blocks(t, "# A\n```sh\nnot run\n```\n```sh test=x\nx=1\necho $x\n```\nsays\n```json output\n{\n  \"a\": …}\n```\n")
	if len(got) != 3 || got[1].mark != "test=x" || got[1].text != "x=1\necho $x\n" || got[1].line != 6 || got[2].mark != "output" {
		t.Fatalf("%+v", got)
	}
	want := got[2].text
	for output, lost := range map[string]string{
		"x{ \"a\": 5, 6}": "", "{\"a\": }": "", "": "{", "{\n": "\"a\": …}", "\"a\": {}": "\"a\": …}",
	} {
		if got := missing(want, output); got != lost {
			t.Errorf("in %q %q is missing, want %q", output, got, lost)
		}
	}
}
