package main

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/mark3labs/mcp-go/client"
	"github.com/mark3labs/mcp-go/client/transport"
	"github.com/mark3labs/mcp-go/mcp"
)

// start runs the program with args on a free port and returns its endpoint and
// a function that ends it and returns its error.
func start(t *testing.T, args ...string) (url string, stop func() error) {
	t.Helper()
	// t.Context ends before the cleanups, and clients leave in theirs.
	ctx, cancel := context.WithCancel(context.Background())
	r, w := io.Pipe()
	c := command()
	c.SetArgs(append(args, "--listen", "127.0.0.1:0"))
	c.SetErr(w)
	done := make(chan error, 1)
	go func() {
		done <- c.ExecuteContext(ctx)
		_ = w.Close()
	}()
	line, err := bufio.NewReader(r).ReadString('\n')
	_, url, ok := strings.Cut(strings.TrimSpace(line), "serving ")
	if !ok {
		t.Fatalf("no address in %q: %v", line, err)
	}
	go func() { _, _ = io.Copy(io.Discard, r) }()
	stop = sync.OnceValue(func() error {
		cancel()
		return <-done
	})
	t.Cleanup(func() {
		if err := stop(); err != nil {
			t.Errorf("end: %v", err)
		}
	})
	return url, stop
}

func connect(t *testing.T, url string) *client.Client {
	t.Helper()
	c, err := client.NewStreamableHttpClient(url)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	var in mcp.InitializeRequest
	in.Params.ProtocolVersion = "2025-11-25"
	in.Params.ClientInfo = mcp.Implementation{Name: "test", Version: "1"}
	if _, err := c.Initialize(t.Context(), in); err != nil {
		t.Fatal(err)
	}
	return c
}

func call(t *testing.T, c *client.Client, name string, arguments map[string]any) (text string, failed bool) {
	t.Helper()
	var r mcp.CallToolRequest
	r.Params.Name, r.Params.Arguments = name, arguments
	got, err := c.CallTool(t.Context(), r)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	for _, content := range got.Content {
		if one, ok := content.(mcp.TextContent); ok {
			text += one.Text
		}
	}
	return text, got.IsError
}

func TestEachServerHasToolsPromptsResourcesAndATemplate(t *testing.T) {
	t.Parallel()
	for name, want := range map[string][]string{
		"weather": {"fail", "get_forecast", "get_weather", "pack_bag", "weather://stations", "weather://cities/{city}/current"},
		"cal":     {"add_event", "delete_event", "list_events", "plan_meeting", "cal://events", "cal://days/{date}"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url, _ := start(t, name)
			c := connect(t, url)
			var got []string
			tools, err := c.ListTools(t.Context(), mcp.ListToolsRequest{})
			if err != nil {
				t.Fatal(err)
			}
			for _, x := range tools.Tools {
				got = append(got, x.Name)
			}
			prompts, err := c.ListPrompts(t.Context(), mcp.ListPromptsRequest{})
			if err != nil {
				t.Fatal(err)
			}
			for _, x := range prompts.Prompts {
				got = append(got, x.Name)
			}
			resources, err := c.ListResources(t.Context(), mcp.ListResourcesRequest{})
			if err != nil {
				t.Fatal(err)
			}
			for _, x := range resources.Resources {
				got = append(got, x.URI)
			}
			templates, err := c.ListResourceTemplates(t.Context(), mcp.ListResourceTemplatesRequest{})
			if err != nil {
				t.Fatal(err)
			}
			for _, x := range templates.ResourceTemplates {
				got = append(got, x.URITemplate.Raw())
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestWeatherIsTheSameOnEveryRun(t *testing.T) {
	t.Parallel()
	url, _ := start(t, "weather")
	c := connect(t, url)
	got, failed := call(t, c, "get_weather", map[string]any{"city": "Berlin"})
	if want := "Berlin: partly cloudy, 18°C, humidity 40%, wind 42 km/h"; got != want || failed {
		t.Errorf("get_weather: %q, %v; want %q", got, failed, want)
	}
	if got, failed := call(t, c, "fail", nil); !failed || !strings.Contains(got, "out of order") {
		t.Errorf("fail: %q, isError %v", got, failed)
	}
}

func TestForecastReportsProgress(t *testing.T) {
	t.Parallel()
	url, _ := start(t, "weather")
	c := connect(t, url)
	progress := make(chan any, 10)
	c.OnNotification(func(n mcp.JSONRPCNotification) { progress <- n.Params.AdditionalFields["progress"] })
	var r mcp.CallToolRequest
	r.Params.Name, r.Params.Arguments = "get_forecast", map[string]any{"city": "Nairobi", "days": 2}
	r.Params.Meta = &mcp.Meta{ProgressToken: "p"}
	if _, err := c.CallTool(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	// The client hands notifications over on goroutines of its own.
	got := map[any]bool{}
	for range 2 {
		select {
		case p := <-progress:
			got[p] = true
		case <-time.After(10 * time.Second):
			t.Fatalf("only progress %v", got)
		}
	}
	if diff := cmp.Diff(map[any]bool{1.0: true, 2.0: true}, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestCalendarKeepsWhatWasAdded(t *testing.T) {
	t.Parallel()
	url, _ := start(t, "cal")
	c := connect(t, url)
	lunch := map[string]any{"title": "Lunch", "date": "2026-03-02", "start": "12:00"}
	if got, failed := call(t, c, "add_event", lunch); failed || !strings.Contains(got, "event-4") {
		t.Errorf("add_event: %q, %v", got, failed)
	}
	got, _ := call(t, c, "list_events", map[string]any{"date": "2026-03-02"})
	want := "2026-03-02 09:30 Stand-up (15 min, event-1)\n2026-03-02 12:00 Lunch (30 min, event-4)\n" +
		"2026-03-02 14:00 Design review (60 min, event-2)"
	if got != want {
		t.Errorf("list_events:\n%s\nwant\n%s", got, want)
	}
	if got, failed := call(t, c, "delete_event", map[string]any{"id": "event-4"}); failed {
		t.Errorf("delete_event: %q", got)
	}
	if got, failed := call(t, c, "delete_event", map[string]any{"id": "event-4"}); !failed {
		t.Errorf("a second delete_event succeeded: %q", got)
	}
}

// An event stream stays open for as long as its client likes.
func TestEndsWhileAStreamIsOpen(t *testing.T) {
	t.Parallel()
	url, stop := start(t, "cal")
	c := connect(t, url)
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Accept", "text/event-stream")
	r.Header.Set("Mcp-Session-Id", c.GetTransport().(*transport.StreamableHTTP).GetSessionId())
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	if answer.StatusCode != http.StatusOK {
		t.Fatalf("GET: %s", answer.Status)
	}
	begin := time.Now()
	if err := stop(); err != nil {
		t.Error(err)
	}
	if took := time.Since(begin); took > grace+20*time.Second { // which a busy machine may need
		t.Errorf("the end took %v", took)
	}
}

func TestAnAddressInUseIsNamed(t *testing.T) {
	t.Parallel()
	url, _ := start(t, "cal")
	address := strings.TrimSuffix(strings.TrimPrefix(url, "http://"), "/mcp")
	c := command()
	c.SetArgs([]string{"cal", "--listen", address})
	err := c.ExecuteContext(t.Context())
	if err == nil || !strings.Contains(err.Error(), address) || !strings.Contains(err.Error(), "--listen") {
		t.Errorf("error %v, want one that names %s and --listen", err, address)
	}
}
