// Command mcp-demo runs small MCP servers to put behind the gateway:
//
//	mcp-demo weather --listen 127.0.0.1:9001
//	mcp-demo cal     --listen 127.0.0.1:9002
//
// Each serves Streamable HTTP at /mcp with tools, prompts, resources and a
// resource template. Answers come from no network and are the same on every
// run, so that documents and tests can quote them; the calendar alone keeps
// what was added until it ends. SIGTERM and SIGINT end it with status 0.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/mark3labs/mcp-go/server"
	"github.com/spf13/cobra"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := command().ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "mcp-demo:", err)
		os.Exit(1)
	}
}

func command() *cobra.Command {
	root := &cobra.Command{
		Use:           "mcp-demo",
		Short:         "Small MCP servers to put behind the gateway",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.AddCommand(
		demo("weather", "Weather of any city, invented but always the same", "127.0.0.1:9001", newWeather),
		demo("cal", "A calendar in memory", "127.0.0.1:9002", newCalendar),
	)
	return root
}

// demo is the subcommand that serves what build makes.
func demo(name, short, address string, build func() *server.MCPServer) *cobra.Command {
	var listen string
	c := &cobra.Command{
		Use:   name,
		Short: short,
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return serve(c.Context(), name, listen, build(), c.ErrOrStderr())
		},
	}
	c.Flags().StringVar(&listen, "listen", address, "host:port to listen on; port 0 takes a free one")
	return c
}
