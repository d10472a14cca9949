package broker_test

import (
	"context"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/mark3labs/mcp-go/client"
	"github.com/mark3labs/mcp-go/client/transport"
	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"
	"go.uber.org/zap/zaptest"

	"mcp-gateway/broker"
	"mcp-gateway/broker/session"
	"mcp-gateway/broker/session/memory"
	"mcp-gateway/internal/gatewayconfig"
)

// A real client sees real servers as one, over real sockets, and hears of a
// change after the list has it.
func TestPeersOfMCPGo(t *testing.T) {
	t.Parallel()
	peer := func(name string, tools ...string) (*server.MCPServer, string) {
		s := server.NewMCPServer(name, "1", server.WithToolCapabilities(true), server.WithPromptCapabilities(true),
			server.WithResourceCapabilities(false, true), server.WithPaginationLimit(1))
		for _, tool := range tools {
			s.AddTool(mcp.NewTool(tool), nil)
		}
		s.AddPrompt(mcp.NewPrompt("report"), nil)
		s.AddResource(mcp.NewResource("file:///"+name, "r"), nil)
		web := httptest.NewServer(server.NewStreamableHTTPServer(s))
		t.Cleanup(web.Close)
		return s, web.URL
	}
	weather, weatherURL := peer("weather", "get", "forecast")
	_, calURL := peer("cal", "get")

	store, err := memory.New(memory.Options{Timeouts: session.Timeouts{Idle: time.Hour, Lifetime: time.Hour}})
	if err != nil {
		t.Fatal(err)
	}
	b := broker.New(zaptest.NewLogger(t), store, broker.Options{})
	if err := b.Apply(gatewayconfig.Broker{Name: "gw", Version: "1", Path: "/mcp", Servers: []gatewayconfig.Server{
		{Name: "weather", URL: weatherURL, Prefix: "weather_", Label: "weather", ListTimeout: gatewayconfig.Duration(5 * time.Second)},
		{Name: "cal", URL: calURL, Prefix: "cal_", Label: "cal", ListTimeout: gatewayconfig.Duration(5 * time.Second)},
	}}); err != nil {
		t.Fatal(err)
	}
	run, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- b.Run(run) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	web := httptest.NewServer(b.Public())
	t.Cleanup(web.Close)

	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	//lint:ignore SA1019 the revisions with sessions have the GET stream
	c, err := client.NewStreamableHttpClient(web.URL+"/mcp", transport.WithContinuousListening())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	heard := make(chan string, 100)
	c.OnNotification(func(n mcp.JSONRPCNotification) { heard <- n.Method })
	if err := c.Start(ctx); err != nil {
		t.Fatal(err)
	}
	hello, err := c.Initialize(ctx, mcp.InitializeRequest{Params: mcp.InitializeParams{
		ProtocolVersion: "2025-11-25", ClientInfo: mcp.Implementation{Name: "test", Version: "1"},
	}})
	if err != nil {
		t.Fatal(err)
	}
	if hello.ProtocolVersion != "2025-11-25" || hello.ServerInfo.Name != "gw" || hello.Capabilities.Prompts == nil || hello.Capabilities.Resources == nil {
		t.Errorf("hello %+v", hello)
	}
	tools := func() []string {
		list, err := c.ListTools(ctx, mcp.ListToolsRequest{})
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, tool := range list.Tools {
			names = append(names, tool.Name)
		}
		return names
	}
	if diff := cmp.Diff([]string{"weather_forecast", "weather_get", "cal_get"}, tools()); diff != "" {
		t.Errorf("tools (-want +got):\n%s", diff)
	}
	prompts, err := c.ListPrompts(ctx, mcp.ListPromptsRequest{})
	if err != nil || len(prompts.Prompts) != 2 || prompts.Prompts[1].Name != "cal_report" {
		t.Errorf("prompts %+v, %v", prompts, err)
	}
	resources, err := c.ListResources(ctx, mcp.ListResourcesRequest{})
	if err != nil || len(resources.Resources) != 2 || resources.Resources[0].URI != "weather+file:///weather" {
		t.Errorf("resources %+v, %v", resources, err)
	}
	//lint:ignore SA1019 the revisions with sessions have ping
	if err := c.Ping(ctx); err != nil {
		t.Error(err)
	}

	weather.AddTool(mcp.NewTool("alert"), nil)
	for !slices.Contains(tools(), "weather_alert") {
		select {
		case method := <-heard:
			if method != "notifications/tools/list_changed" {
				t.Fatalf("heard %s", method)
			}
			if got := tools(); !slices.Contains(got, "weather_alert") {
				t.Fatalf("told of a change before the list has it: %v", got)
			}
		case <-ctx.Done():
			t.Fatal("no notification of a new tool")
		}
	}
}
