package security

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"mcp-gateway/test/e2e/harness"
)

// corpus are bodies in which an at sign stands for the name of a server: those that
// the gateway passes on, or those that it must not.
func corpus(t *testing.T, kind string) map[string][]byte {
	t.Helper()
	files, err := filepath.Glob("corpus/" + kind + "/*.json")
	if err != nil || len(files) < 20 {
		t.Fatalf("%d bodies, %v", len(files), err)
	}
	bodies := map[string][]byte{}
	for _, file := range files {
		body, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		bodies[strings.TrimSuffix(filepath.Base(file), ".json")] = body
	}
	// What would be large as a file.
	toolCall := func(params string) []byte {
		return []byte(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"@_echo",` + params + `}}`)
	}
	nested := func(n int) string { return strings.Repeat(`[`, n) + strings.Repeat(`]`, n) }
	keys := func(n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, `"k%d":0,`, i)
		}
		return b.String()
	}
	if kind == "served" {
		bodies["a long text"] = toolCall(`"arguments":{"text":"` + strings.Repeat("x", 90_000) + `"}`)
		bodies["large numbers"] = toolCall(`"arguments":{"text":"x","n":9007199254740993,"m":123456789012345678901234567890,"z":-0}`)
		bodies["many keys of arguments"] = toolCall(`"arguments":{` + keys(2000) + `"text":"x"}`)
		bodies["many levels"] = toolCall(`"arguments":{"text":"x","n":` + nested(100) + `}`)
		return bodies
	}
	bodies["too many levels"] = toolCall(`"arguments":{"text":"x","n":` + nested(200) + `}`)
	bodies["a hundred thousand levels"] = toolCall(`"arguments":{"text":"x","n":` + nested(100_000) + `}`)
	bodies["levels without an end"] = []byte(strings.Repeat(`{"params":`, 100_000))
	bodies["too many keys"] = toolCall(keys(70) + `"arguments":{}`)
	bodies["a long name"] = bytes.Replace(toolCall(`"arguments":{}`), []byte("_echo"), []byte("_"+strings.Repeat("e", 100_000)), 1)
	return bodies
}

// wanted is what an honest reader sees in a body for a server: jsontext would refuse
// the others.
func wanted(t *testing.T, body []byte) sight {
	t.Helper()
	var m struct {
		Method string `json:"method"`
		Params struct {
			Name, URI string
			Arguments struct {
				Text string `json:"text"`
			} `json:"arguments"`
		} `json:"params"`
	}
	if err := json.Unmarshal(body, &m); err != nil {
		t.Fatalf("%v: %s", err, body)
	}
	s := sight{Kind: map[string]string{"tools/call": "tool", "prompts/get": "prompt", "resources/read": "resource"}[m.Method], Name: m.Params.Name}
	if s.Kind == "resource" {
		s.Name = m.Params.URI
	}
	s.Given.Text = m.Params.Arguments.Text
	return s
}

// logged is what the gateway's access log says of a request.
type logged struct {
	RequestID                            string `json:"request_id"`
	Method, Server, Name, Cluster, Error string
}

// What a server's code is called for is what the gateway routed by and wrote down,
// whichever parser the server has; and what two parsers could read in two ways
// reaches none of them.
func TestParsersSeeOneMessage(t *testing.T) {
	t.Parallel()
	all := seers(t)
	logfile := filepath.Join(t.TempDir(), "access.log")
	config := harness.Config{Gateway: []string{"accessLog: " + logfile}}
	for _, s := range all {
		config.Servers = append(config.Servers, harness.Server{Name: s.name, URL: s.url, Prefix: s.name + "_"})
	}
	g := harness.Run(t, config)
	c := harness.Connect(t, g.URL)
	for _, s := range all {
		c.Tool(s.name+"_echo", `{"text":"warm"}`)
	}
	send := func(id string, s seer, body []byte) (harness.Response, []sight) {
		t.Helper()
		before := len(s.all())
		r := c.With("X-Request-Id: " + id).Post(string(bytes.ReplaceAll(body, []byte("@"), []byte(s.name))))
		return r, s.all()[before:]
	}
	routed := map[string]string{} // exposed names by request id
	for name, body := range corpus(t, "served") {
		for _, s := range all {
			id := name + " to " + s.name
			want := wanted(t, bytes.ReplaceAll(body, []byte("@"), []byte(s.name)))
			exposed := want.Name
			want.Name = want.Name[len(s.name)+1:]
			r, seen := send(id, s, body)
			harness.Eventually(t, id, func() bool { // programs write behind their answer
				seen = s.all()
				return len(seen) > 0 && seen[len(seen)-1] == want
			})
			if !strings.Contains(r.Body, `"result"`) {
				t.Errorf("%s: %s", id, r)
			}
			routed[id] = exposed
		}
	}
	for name, body := range corpus(t, "refused") {
		for _, s := range all {
			r, seen := send(name+" to "+s.name, s, body)
			if strings.Contains(r.Body, `"result"`) || len(seen) > 0 {
				t.Errorf("%s to %s: %s: the server saw %v", name, s.name, r, seen)
			}
		}
	}
	// Frameworks read a body as its headers say.
	const utf7 = `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"@_echo","arguments":{"text":"+ACIAfQAsACI-name+ACIAOgAi-other+ACIALAAi-x+ACIAOgB7ACI-y+ACIAOgAi-"}}}`
	for _, s := range all {
		body := strings.ReplaceAll(utf7, "@", s.name)
		for _, header := range []string{
			"Content-Type: application/json; charset=utf-7", "Content-Type: application/json;CHARSET=\"UTF-7\"", "Content-Type: application/json; charset=utf-8; charset=utf-7",
			"Content-Type: application/json; charset=utf-16le", "Content-Type: application/json; charset=iso-8859-1", "Content-Type: application/json; x=\"; charset=utf-7",
			"Content-Encoding: gzip", "Content-Encoding: deflate", "Content-Encoding: br", "Content-Encoding: identity, gzip", "Content-Encoding: x",
		} {
			if r := c.With(header, "X-Request-Id: "+header+" to "+s.name).Post(body); r.Status != http.StatusUnsupportedMediaType {
				t.Errorf("%s to %s: %s", header, s.name, r)
			}
		}
	}
	for _, s := range all { // what they have not written yet comes before this
		c.Tool(s.name+"_echo", `{"text":"last"}`)
		harness.Eventually(t, "the last call", func() bool {
			now := s.all()
			return now[len(now)-1].Given.Text == "last"
		})
		if got, want := len(s.all()), len(corpus(t, "served"))+2; got != want {
			t.Errorf("%s has made %d calls, want %d", s.name, got, want)
		}
	}
	g.Stop(5 * time.Second) // Envoy writes down what it has held back
	text, err := os.ReadFile(logfile)
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for line := range bytes.Lines(text) {
		var l logged
		if err := json.Unmarshal(line, &l); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		name, server, is := strings.Cut(l.RequestID, " to ")
		if !is {
			continue
		}
		exposed, served := routed[l.RequestID]
		if !served {
			if strings.HasPrefix(l.Cluster, "mcp_server") {
				t.Errorf("%s reached %s", name, l.Cluster)
			}
			continue
		}
		found++
		if l.Server != server || l.Name != exposed || l.Error != "" {
			t.Errorf("%s: the log says %s", l.RequestID, line)
		}
	}
	if found != len(routed) {
		t.Errorf("the log knows of %d of %d calls", found, len(routed))
	}
}

// stricter are the bodies that all servers read alike and the gateway refuses all
// the same, with the reason.
var stricter = func() map[string]string {
	reasons := map[string]string{
		"escaped-key-alone":  "no encoder writes it, and a search for the key does not find it",
		"name-in-case-first": "encoding/json takes whichever is last",
		"name-of-server":     "clients know exposed names only", "uri-of-server": "clients know labelled URIs only",
		"too many keys": "what is compared with all others is bounded",
	}
	for _, name := range []string{
		"arguments-twice", "duplicate-name", "duplicate-name-escaped", "duplicate-name-first", "duplicate-name-own", "id-twice", "meta-twice",
		"method-escaped", "method-twice", "params-escaped", "params-twice", "unknown-key-twice", "uri-twice",
	} {
		reasons[name] = "which of two equal keys counts is open (RFC 8259 section 4), and some parsers take the first"
	}
	return reasons
}()

// What every server reads in the same way the gateway does not refuse for nothing.
func TestNothingIsRefusedForNothing(t *testing.T) {
	t.Parallel()
	all := seers(t)
	var alike []string
	for name, body := range corpus(t, "refused") {
		body = bytes.ReplaceAll(bytes.ReplaceAll(body, []byte("@_"), nil), []byte("@+"), nil)
		var views []sight
		for _, s := range all {
			before := len(s.all())
			c := harness.NewClient(t, s.url).With(harness.HeaderRevision + ": " + harness.Revision)
			if _, err := c.Try(t.Context(), http.MethodPost, string(body)); err != nil {
				t.Logf("%s at %s: %v", name, s.name, err)
			}
			c.Post(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo","arguments":{"text":"` + name + `"}}}`)
			harness.Eventually(t, "the next call", func() bool {
				now := s.all()
				return len(now) > before && now[len(now)-1].Given.Text == name
			})
			if seen := s.all()[before:]; len(seen) == 2 {
				views = append(views, seen[0])
			}
		}
		if len(views) == len(all) && views[0] == views[1] && views[1] == views[2] {
			alike = append(alike, name)
		}
	}
	slices.Sort(alike)
	for _, name := range alike {
		if stricter[name] == "" {
			t.Errorf("%s is refused, though all servers read it alike", name)
		}
	}
	for name := range stricter {
		if !slices.Contains(alike, name) {
			t.Errorf("%s is not read alike", name)
		}
	}
}
