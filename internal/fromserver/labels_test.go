package fromserver_test

import (
	"testing"

	"mcp-gateway/internal/fromserver"
)

func TestLabelsOfStatelessServers(t *testing.T) {
	t.Parallel()
	both := fromserver.Labels{URI: "docs", Task: "docs"}
	for _, tt := range []struct {
		name     string
		labels   fromserver.Labels
		in, want string
	}{
		{"Created", both, `{"id":1,"result":{"resultType":"task","taskId":"t\u002f1","ttlMs":1.0}}`, `{"id":1,"result":{"resultType":"task","taskId":"docs+t/1","ttlMs":1.0}}`},
		{"Notification", both, `{"params":{"status":"working","taskId":"t"},"method":"notifications/tasks"}`, `{"params":{"status":"working","taskId":"docs+t"},"method":"notifications/tasks"}`},
		{
			"Completed", both,
			`{"result":{"result":{"content":[{"type":"resource_link","uri":"a:b"}],"taskId":"inner"},"taskId":"t"}}`,
			`{"result":{"result":{"content":[{"type":"resource_link","uri":"docs+a:b"}],"taskId":"inner"},"taskId":"docs+t"}}`,
		},
		{
			"Failed", both,
			`{"result":{"taskId":"t","error":{"code":-32602,"data":{"uri":"a:b"}}}}`,
			`{"result":{"taskId":"docs+t","error":{"code":-32602,"data":{"uri":"docs+a:b"}}}}`,
		},
		{
			"TasksOnly", fromserver.Labels{Task: "docs"},
			`{"result":{"result":{"content":[{"uri":"a:b"}]},"taskId":"t"}}`, `{"result":{"result":{"content":[{"uri":"a:b"}]},"taskId":"docs+t"}}`,
		},
		{
			"URIsOnly", fromserver.Labels{URI: "docs"},
			`{"result":{"contents":[{"uri":"a:b"}],"taskId":"t","result":{"contents":[{"uri":"a:b"}]}}}`,
			`{"result":{"contents":[{"uri":"docs+a:b"}],"taskId":"t","result":{"contents":[{"uri":"a:b"}]}}}`,
		},
		{"ElsewhereItStays", both, `{"result":{"structuredContent":{"taskId":"t"},"_meta":{"taskId":"t"}}}`, ""},
		{"NoString", both, `{"result":{"taskId":1}}`, ""},
		{"NothingIsMarked", both, `{"id":1,"method":"notifications/cancelled","params":{"requestId":1,"taskId":"t","_meta":{"progressToken":2}}}`, ""},
		{"Broken", both, `{"result":{"taskId":"t"}`, ""},
		{
			"Private", fromserver.Labels{Private: true},
			`{"result":{"ttlMs":1.0,"cacheScope" : "public","contents":[{"uri":"a:b","cacheScope":"public"}],"_meta":{"cacheScope":"public"}},"cacheScope":"public"}`,
			`{"result":{"ttlMs":1.0,"cacheScope" : "private","contents":[{"uri":"a:b","cacheScope":"public"}],"_meta":{"cacheScope":"public"}},"cacheScope":"public"}`,
		},
		{"PrivateInEscapes", fromserver.Labels{Private: true}, `{"result":{"c\u0061cheScope":"publi\u0063"}}`, `{"result":{"c\u0061cheScope":"private"}}`},
		{"PrivateAlready", fromserver.Labels{Private: true}, `{"result":{"cacheScope":"private","contents":[{"text":"public"}]}}`, ""},
		{"None", fromserver.Labels{}, `{"result":{"taskId":"t","contents":[{"uri":"a:b"}]}}`, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			want := tt.want
			if want == "" {
				want = tt.in
			}
			if got := string(tt.labels.Append([]byte("x"), []byte(tt.in))); got != "x"+want {
				t.Errorf("\n got %s\nwant x%s", got, want)
			}
		})
	}
}

// The marks of servers with sessions leave tasks alone: those are not carried.
func TestRewriteLeavesTasks(t *testing.T) {
	t.Parallel()
	const in = `{"result":{"taskId":"t","result":{"contents":[{"uri":"a:b"}]},"contents":[{"uri":"a:b"}]}}`
	const want = `{"result":{"taskId":"t","result":{"contents":[{"uri":"a:b"}]},"contents":[{"uri":"docs+a:b"}]}}`
	if got := rewritten("", in, "docs"); got != want {
		t.Errorf("\n got %s\nwant %s", got, want)
	}
}
