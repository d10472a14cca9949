package shim_test

import (
	"bufio"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"mcp-gateway/test/conformance/shim"
)

var served = shim.Server{Prefix: "p_", Label: "l", Others: []string{"o"}}

func TestRequest(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		`{"method":"tools/call","params":{"name":"a"}}`:                                                                           `{"method":"tools/call","params":{"name":"p_a"}}`,
		`{"method":"tools/call","params":{"name":"o_a"}}`:                                                                         `{"method":"tools/call","params":{"name":"o_a"}}`,
		`{"method":"resources/read","params":{"uri":"o+x:/a"}}`:                                                                   `{"method":"resources/read","params":{"uri":"o+x:/a"}}`,
		`{"method":"prompts/get","params":{"name":"a"}}`:                                                                          `{"method":"prompts/get","params":{"name":"p_a"}}`,
		`{"method":"resources/read","params":{"uri":"x:/a"}}`:                                                                     `{"method":"resources/read","params":{"uri":"l+x:/a"}}`,
		`{"method":"completion/complete","params":{"ref":{"type":"ref/prompt","name":"a"}}}`:                                      `{"method":"completion/complete","params":{"ref":{"name":"p_a","type":"ref/prompt"}}}`,
		`{"method":"completion/complete","params":{"ref":{"uri":"x:/{a}"}}}`:                                                      `{"method":"completion/complete","params":{"ref":{"uri":"l+x:/{a}"}}}`,
		`{"method":"subscriptions/listen","params":{"notifications":{"resourceSubscriptions":["x:/a"],"toolsListChanged":true}}}`: `{"method":"subscriptions/listen","params":{"notifications":{"resourceSubscriptions":["l+x:/a"],"toolsListChanged":true}}}`,
		`{"method":"subscriptions/listen","params":{"notifications":{"toolsListChanged":true}}}`:                                  `{"method":"subscriptions/listen","params":{"notifications":{"toolsListChanged":true}}}`,
		`{"method":"initialize","params":{"name":"a", "uri":"x:/a"}}`:                                                             `{"method":"initialize","params":{"name":"a", "uri":"x:/a"}}`,
		`{"id":1,"result":{"name":"a"}}`:                                                                                          `{"id":1,"result":{"name":"a"}}`,
		`[1]`:                                                                                                                     `[1]`,
		``:                                                                                                                        ``,
	} {
		if got := string(served.Request([]byte(in))); got != want {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
	}
}

func TestHeader(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"a":                     "p_a",
		"o_a":                   "o_a",
		" a ":                   "p_a",
		"=?base64?w6Q=?=":       "=?base64?cF/DpA==?=",
		"=?base64?not base64?=": "=?base64?not base64?=",
		"=?base64?w6Q=":         "=?base64?w6Q=",
	} {
		if got := served.Header("tools/call", in); got != want {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
	}
}

// Each event is there before the next one is sent, without prefix and label.
func TestAnswerStreams(t *testing.T) {
	t.Parallel()
	seen := make(chan struct{})
	gateway := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/mcp" {
			t.Errorf("path %s", r.URL.Path)
		}
		w.Header().Set("Content-Type", "text/event-stream")
		for _, event := range []string{`{"name":"p_a","x":"p_a"}`, `{"name":"q_a","uri":"l+x:/a","uriTemplate":"l+x:/{a}"}`} {
			_, _ = io.WriteString(w, "data: "+event+"\n\n")
			_ = http.NewResponseController(w).Flush()
			<-seen
		}
	}))
	defer gateway.Close()
	handler, err := shim.New(gateway.URL+"/mcp", "p_", "l")
	if err != nil {
		t.Fatal(err)
	}
	front := httptest.NewServer(handler)
	defer front.Close()
	r, err := http.Post(front.URL, "application/json", strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close() //nolint:errcheck // read to its end
	lines := bufio.NewScanner(r.Body)
	for _, want := range []string{`data: {"name":"a","x":"p_a"}`, "", `data: {"name":"q_a","uri":"x:/a","uriTemplate":"x:/{a}"}`, ""} {
		if !lines.Scan() || lines.Text() != want {
			t.Fatalf("%q, want %q", lines.Text(), want)
		}
		if want == "" {
			seen <- struct{}{}
		}
	}
}
