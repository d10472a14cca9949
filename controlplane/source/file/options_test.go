package file

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// What is warned of and refused goes by the address that is listened on.
func TestWithListenIsThereBeforeAnythingIsChecked(t *testing.T) {
	t.Parallel()
	const everywhere, here = "0.0.0.0:8888", "127.0.0.1:9999"
	tests := []struct {
		name, declared, listen, url string
		want                        string // of the only problem; empty for none
	}{
		{"opened by the flag", here, everywhere, "http://a/mcp", "warning: --listen: 0.0.0.0:8888 can be reached from other machines"},
		{"closed by the flag", everywhere, here, "http://a/mcp", ""},
		{"opened by the file", everywhere, "", "http://a/mcp", ":1:19: warning: gateway.listen: 0.0.0.0:8888 can be reached"},
		{"the flag leaves the address to a server", here, "127.0.0.1:8888", "http://127.0.0.1:9999/mcp", ""},
		{"the flag takes the address of a server", "127.0.0.1:8888", here, "http://127.0.0.1:9999/mcp", "servers[0].url: is the gateway's own address (--listen)"},
	}
	for _, test := range tests {
		path := filepath.Join(t.TempDir(), "gateway.yaml")
		text := fmt.Sprintf("gateway: {listen: %q}\nservers: [{name: a, url: %q}]\n", test.declared, test.url)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		var options []Option
		declared := test.declared
		if test.listen != "" {
			declared = ""
			options = append(options, WithListen(test.listen, func(said string) { declared = said }))
		}
		g, problems := Load(path, os.LookupEnv, options...)
		var got []string
		for _, p := range problems {
			got = append(got, p.String())
		}
		all := strings.Join(got, "\n")
		if len(got) != min(1, len(test.want)) || !strings.Contains(all, test.want) {
			t.Errorf("%s: problems %q, want %q", test.name, all, test.want)
		}
		if strings.HasPrefix(test.want, "warning: --listen") && !strings.HasPrefix(all, test.want) {
			t.Errorf("%s: %q blames the file", test.name, all)
		}
		if declared != test.declared || g != nil && test.listen != "" && g.Listen != test.listen {
			t.Errorf("%s: declared %s", test.name, declared)
		}
	}
}
