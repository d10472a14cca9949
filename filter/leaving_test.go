package filter

import "testing"

// A client that looks into a content type for a word reads the same kind of message
// as the gateway: nothing leaves with more than the bare type.
func TestAnswersLeaveWithABareType(t *testing.T) {
	t.Parallel()
	const answer, fault = `{"jsonrpc":"2.0","id":1,"result":{}}`, `{"jsonrpc":"2.0","id":1,"error":{"code":-1,"message":"x"}}`
	for _, tt := range []struct {
		status, contentType, body string
		want                      string // "-" for as it is, empty for an error of the gateway's
	}{
		{"200", "application/json", answer, "-"},
		{"200", "application/json; charset=utf-8", answer, "application/json"},
		{"200", "Application/JSON", answer, "application/json"},
		{"200", "application/json;x=text/event-stream", answer, "application/json"},
		{"200", "application/json ; charset=utf-7", answer, "application/json"},
		{"200", "application/json, text/event-stream", answer, ""},
		{"200", "application/json,text/event-stream;", answer, ""},
		{"200", "application/jsonp", answer, ""},
		{"200", "text/event-stream", "data: " + answer + "\n\n", "-"},
		{"200", "text/event-stream; charset=utf-8", "data: " + answer + "\n\n", "text/event-stream"},
		{"200", "text/event-stream;x=application/json", "data: " + answer + "\n\n", "text/event-stream"},
		{"200", "text/event-stream, application/json", "data: " + answer + "\n\n", ""},
		{"400", "application/json", fault, "-"},
		{"400", "application/json; x=text/event-stream", fault, "application/json"},
		{"400", "text/event-stream", fault, "application/json"},
	} {
		t.Run(tt.status+" "+tt.contentType, func(t *testing.T) {
			t.Parallel()
			s, _ := post(newGateway(t), call("search"))
			d := s.ResponseHeaders(headersOf(tt.status, tt.contentType), false)
			if d.Action == NeedBody {
				d = s.ResponseBody([]byte(tt.body), true)
			}
			got, changed := edits(d)["content-type"]
			if d.Action == Reply {
				if got = ""; d.Reason != "bad_answer" {
					t.Errorf("reason %s", d.Reason)
				}
			} else if !changed {
				got = "-"
			}
			if got != tt.want {
				t.Errorf("leaves with %q, want %q", got, tt.want)
			}
		})
	}
	// What Envoy does not make one header of is none either.
	s, _ := post(newGateway(t), call("search"))
	if d := s.ResponseHeaders(append(headersOf("200", "text/event-stream"), Header{"content-type", "application/json"}), false); d.Reason != "bad_answer" {
		t.Errorf("two types: %+v", d)
	}
}
