package upstream

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"mcp-gateway/broker/rawserver"
	"mcp-gateway/internal/mcp"
)

// A tool that asks the client within its call waits for an answer, and its
// caller for the call's.
func TestExchangeAnswersWhatTheServerAsks(t *testing.T) {
	t.Parallel()
	const (
		declined = `,"error":{"code":-32603,"message":"the client cannot be asked in a call that is sent again"}}`
		stranger = `{"jsonrpc":"2.0","id":6,"result":{"of":"another"}}`
		mine     = `{"jsonrpc":"2.0","id":5,"result":{"x":1.0}}`
	)
	for name, test := range map[string]struct {
		asks    string // the first events
		answers []string
		want    string // of what was asked, what the client gets
	}{
		"elicitation": {"id: 1\ndata: {\"jsonrpc\":\"2.0\",\"id\":\"e\",\"method\":\"elicitation/create\",\"params\":{}}\n\n",
			[]string{`{"jsonrpc":"2.0","id":"e"` + declined}, ""},
		"roots": {"data: {\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"roots/list\"}\n\n",
			[]string{`{"jsonrpc":"2.0","id":1` + declined}, ""},
		"batch": {"id: 2\ndata: [{\"jsonrpc\":\"2.0\",\"id\":5,\"method\":\"sampling/createMessage\",\"params\":{}},{\"jsonrpc\":\"2.0\",\"method\":\"m\"},{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"ping\"}]\n\n",
			[]string{`{"jsonrpc":"2.0","id":5` + declined, `{"jsonrpc":"2.0","id":7,"result":{}}`},
			"id: 2\ndata: {\"jsonrpc\":\"2.0\",\"method\":\"m\"}\n\n"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var answers []string
				answered := make(chan struct{})
				sc := &rawserver.Server{}
				sc.Intercept = func(w http.ResponseWriter, _ *http.Request, method, _ string) bool {
					if method != "tools/call" {
						if answers = append(answers, ""); len(answers) == len(test.answers) {
							close(answered)
						}
						return false
					}
					w.Header().Set("Content-Type", "text/event-stream")
					_, _ = w.Write([]byte(test.asks + "data: " + stranger + "\n\n"))
					_ = http.NewResponseController(w).Flush()
					<-answered
					_, _ = w.Write([]byte("data: " + mine + "\n\n"))
					return true
				}
				transport, _ := rawserver.Serve(t, sc)
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				got, err := newServer(t, transport, nil).Exchange(ctx, Session{"s", mcp.LatestLegacy},
					[]byte(`{"jsonrpc":"2.0","id":5,"method":"tools/call","params":{}}`), nil)
				if err != nil || string(got.Body) != test.want+"data: "+mine+"\n\n" {
					t.Errorf("%q, %v", got.Body, err)
				}
				var said []string
				for _, r := range sc.Requests("POST", "") {
					said = append(said, r.Body)
				}
				if diff := cmp.Diff(test.answers, said); diff != "" {
					t.Errorf("answers (-want +got):\n%s", diff)
				}
			})
		})
	}
}

func TestExchangeReturnsTheResponseToItsRequest(t *testing.T) {
	t.Parallel()
	answer := func(id string) string { return `{"jsonrpc":"2.0","id":` + id + `,"result":{}}` }
	for name, test := range map[string]struct{ id, answer, want string }{
		"same":              {`5`, answer(`5`), answer(`5`)},
		"spelled otherwise": {`"\u0061\/"`, answer(`"a/"`), answer(`"a/"`)},
		"number":            {`1.0`, answer(`1`), answer(`1`)},
		"huge number":       {`1e400`, answer(`1e400`), answer(`1e400`)},
		"error":             {`5`, `{"jsonrpc":"2.0","id":5,"error":{"code":1,"message":""}}`, `{"jsonrpc":"2.0","id":5,"error":{"code":1,"message":""}}`},
		"batch":             {`5`, `[{"jsonrpc":"2.0","method":"m"},` + answer(`4`) + `, ` + answer(`5`) + `]`, answer(`5`)},
		"another id":        {`5`, answer(`6`), ""},
		"another type":      {`5`, answer(`"5"`), ""},
		"null":              {`5`, `{"jsonrpc":"2.0","id":null,"error":{"code":1,"message":""}}`, ""},
		"a request":         {`5`, `{"jsonrpc":"2.0","id":5,"method":"roots/list"}`, ""},
		"nothing":           {`5`, ``, ""},
	} {
		for _, kind := range []string{typeJSON, typeStream} {
			t.Run(name+" as "+kind, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					sc := &rawserver.Server{}
					sc.Intercept = func(w http.ResponseWriter, _ *http.Request, method, _ string) bool {
						if method != "x" {
							return false
						}
						w.Header().Set("Content-Type", kind)
						if kind == typeStream {
							_, _ = w.Write([]byte("data: " + test.answer + "\n\n"))
						} else {
							_, _ = w.Write([]byte(test.answer))
						}
						return true
					}
					transport, _ := rawserver.Serve(t, sc)
					got, err := newServer(t, transport, nil).Exchange(t.Context(), Session{"s", mcp.LatestLegacy},
						[]byte(`{"jsonrpc":"2.0","id":`+test.id+`,"method":"x"}`), nil)
					if (err == nil) != (test.want != "") {
						t.Fatalf("%q, %v", got.Body, err)
					}
					if err == nil && (got.Type != kind || !strings.Contains(string(got.Body), test.want) || strings.Contains(string(got.Body), `"id":4`)) {
						t.Errorf("%s %q", got.Type, got.Body)
					}
				})
			})
		}
	}
}
