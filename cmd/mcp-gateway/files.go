package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"mcp-gateway/cmd/mcp-gateway/runner"
	"mcp-gateway/controlplane/envoyconfig"
	"mcp-gateway/controlplane/gateway"
	"mcp-gateway/controlplane/source/file"
	"mcp-gateway/internal/gatewayconfig"
)

func validateCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "validate FILE",
		Short: "Print every mistake of a configuration, with its line; status 1 if there is an error",
		Args:  cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			g, warnings, err := runner.Load(args[0])
			if err != nil {
				return err
			}
			return summarize(c.OutOrStdout(), args[0], g, slices.Concat(warnings, missingPrograms(args[0], g), missingDirectories(args[0], g)))
		},
	}
}

// missingPrograms warns of commands that this machine cannot run. They may well
// be there where the broker runs.
func missingPrograms(path string, g *gateway.Gateway) []file.Problem {
	var problems []file.Problem
	for i, s := range g.Servers {
		if !s.Enabled || len(s.Command) == 0 {
			continue
		}
		if _, err := exec.LookPath(s.Command[0]); err != nil {
			problems = append(problems, file.Problem{
				File: path, Path: fmt.Sprintf("servers[%d].command[0]", i), Warning: true,
				Message: fmt.Sprintf("this machine has no program %q; it has to be there where the broker runs", s.Command[0]),
			})
		}
	}
	return problems
}

// missingDirectories warns of directories that this machine has not, for processes
// and for files that the gateway makes: nobody makes the directories, and the broker
// withholds what it cannot remember.
func missingDirectories(path string, g *gateway.Gateway) []file.Problem {
	var problems []file.Problem
	look := func(at, dir, part string) {
		if info, err := os.Stat(dir); err == nil && info.IsDir() {
			return
		}
		problems = append(problems, file.Problem{
			File: path, Path: at, Warning: true,
			Message: fmt.Sprintf("this machine has no directory %q; it has to be there where %s runs", dir, part),
		})
	}
	for i, s := range g.Servers {
		if s.Enabled && s.Dir != "" {
			look(fmt.Sprintf("servers[%d].dir", i), s.Dir, "the broker")
		}
	}
	if g.AccessLog != gateway.AccessLogOff && g.AccessLog != gateway.AccessLogStdout {
		look("gateway.accessLog", filepath.Dir(g.AccessLog), "Envoy")
	}
	if p := &g.Integrity.Pins; p.State != "" && p.OnChange != gatewayconfig.ReactOff {
		look("integrity.pins.state", filepath.Dir(p.State), "the broker")
	}
	return problems
}

// summarize says what a good configuration sets up, and what is odd about it.
func summarize(w io.Writer, path string, g *gateway.Gateway, warnings []file.Problem) error {
	_, err := fmt.Fprintf(w, "%s is fine: %d of %d servers enabled\n", path, len(g.EnabledServers()), len(g.Servers))
	for _, s := range g.Servers {
		note := ""
		if prefix := s.EffectivePrefix(); prefix != "" {
			note += ", prefix " + prefix
		}
		if s.PrefixPolicy == gateway.PrefixOnConflict {
			note += " on conflict"
		}
		if !s.Enabled {
			note += ", not enabled"
		}
		_, printErr := fmt.Fprintf(w, "  %s%s\n", s.Name, note)
		err = errors.Join(err, printErr)
	}
	for _, v := range g.VirtualServers {
		_, printErr := fmt.Fprintf(w, "  %s/%s, virtual\n", strings.TrimSuffix(g.Path, "/"), v.Name)
		err = errors.Join(err, printErr)
	}
	if len(warnings) > 0 {
		_, printErr := fmt.Fprintf(w, "%d warning%s:\n", len(warnings), plural(len(warnings)))
		err = errors.Join(err, printErr)
	}
	for _, p := range warnings {
		_, printErr := fmt.Fprintf(w, "  %s\n", p)
		err = errors.Join(err, printErr)
	}
	return err
}

func plural(n int) string {
	if n == 1 {
		return ""
	}
	return "s"
}

func renderCommand() *cobra.Command {
	var p envoyconfig.Params
	c := &cobra.Command{
		Use:   "render FILE",
		Short: "Print a static envoy.yaml for a configuration: an Envoy without control plane",
		Args:  cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			g, warnings, err := runner.Load(args[0])
			if err != nil {
				return err
			}
			for _, w := range warnings {
				_, _ = fmt.Fprintln(c.ErrOrStderr(), w)
			}
			text, err := envoyconfig.Render(g, p)
			if err != nil {
				return err
			}
			_, err = c.OutOrStdout().Write(text)
			return err
		},
	}
	addBrokerFlags(c, &p)
	addHostFlags(c, &p)
	addEnvoyFlags(c, &p)
	return c
}

func bootstrapCommand() *cobra.Command {
	var p envoyconfig.Params
	c := &cobra.Command{
		Use:   "bootstrap",
		Short: "Print the envoy.yaml of an Envoy that gets its configuration from the control plane",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			b, err := envoyconfig.Bootstrap(p)
			if err != nil {
				return err
			}
			text, err := envoyconfig.YAML(b)
			if err != nil {
				return err
			}
			_, err = c.OutOrStdout().Write(text)
			return err
		},
	}
	c.Flags().StringVar(&p.ControlPlane, "xds", "127.0.0.1:18000", "the control plane's xDS listener, as Envoy reaches it")
	c.Flags().StringVar(&p.NodeID, "node-id", "mcp-gateway", "what Envoy calls itself to the control plane")
	addHostFlag(c, &p.Host)
	addEnvoyFlags(c, &p)
	return c
}

// addBrokerFlags adds where Envoy reaches the broker.
func addBrokerFlags(c *cobra.Command, p *envoyconfig.Params) {
	c.Flags().StringVar(&p.BrokerPublic, "broker", "127.0.0.1:8890", "the broker's listener, as Envoy reaches it: host:port or unix:/path")
	c.Flags().StringVar(&p.BrokerInternal, "broker-internal", "127.0.0.1:8891", "its internal listener, as Envoy reaches it")
}

// addHostFlag adds which of Envoy's filters runs ours, addHostFlags also with what.
func addHostFlag(c *cobra.Command, h *envoyconfig.Host) {
	*h = envoyconfig.HostModule
	c.Flags().Var(h, "filter-host", "what runs the filter in Envoy: module, or golang for the filter for Go that contrib builds have")
}

func addHostFlags(c *cobra.Command, p *envoyconfig.Params) {
	addHostFlag(c, &p.Host)
	c.Flags().StringVar(&p.Library, "filter-library", "", "file of the library for --filter-host golang, as Envoy sees it; the image's if empty")
}

// addEnvoyFlags adds what is Envoy's own.
func addEnvoyFlags(c *cobra.Command, p *envoyconfig.Params) {
	c.Flags().StringVar(&p.Admin, "admin", "", "where Envoy's admin interface listens: unix:/path or a loopback address; none if empty")
	c.Flags().StringVar(&p.TrustedCA, "trusted-ca", "", "file of certificate authorities for https servers, as Envoy sees it; Debian's if empty")
}

func schemaCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "schema",
		Short: "Print the JSON Schema of the configuration file",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			_, err := c.OutOrStdout().Write(file.Schema)
			return err
		},
	}
}

func versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			_, err := fmt.Fprintln(c.OutOrStdout(), versionLine())
			return err
		},
	}
}
