package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"mcp-gateway/broker/integrity"
	"mcp-gateway/internal/gatewayconfig"
	"mcp-gateway/internal/pin"
)

func pinCommand() *cobra.Command {
	var d definitions
	c := &cobra.Command{
		Use:   "pin --config FILE [SERVER...]",
		Short: "Ask the servers what they offer and write it into the lock file, as trusted",
		Long: "Ask the servers what they offer and write it into the lock file, as trusted: everything, whatever was there\n" +
			"before, so look at what the file has become. What the scan finds is printed and not accepted by this: see approve.",
		RunE: func(c *cobra.Command, args []string) error {
			if d.config == "" {
				return errors.New("name --config FILE: its servers are asked")
			}
			overview, lock, err := d.read(c.Context(), args)
			if err != nil {
				return err
			}
			next := lock.Clone()
			if len(args) == 0 {
				next = pin.Lock{}
			}
			for _, name := range d.servers {
				next[name] = emptySet()
			}
			for _, o := range overview.Definitions {
				e := o.Current
				e.Accepted = nil
				if o.Pinned != nil && o.Pinned.Hash == e.Hash {
					e.Accepted = o.Pinned.Accepted
				}
				next[o.Server].Put(pin.Item{Kind: o.Kind, Name: o.Name}, e)
			}
			if err := d.write(next); err != nil {
				return err
			}
			for _, o := range overview.Definitions {
				if lock[o.Server] == nil && o.Why == integrity.WhyNew {
					o.Why = integrity.WhyFound // all of it is new: only what the scan says
					if len(o.Findings) == 0 {
						continue
					}
				}
				show(c.OutOrStdout(), []integrity.Definition{o})
			}
			for _, server := range sortedServers(next) {
				_, _ = fmt.Fprintf(c.OutOrStdout(), "%s: %d pinned\n", server, len(next[server].Items()))
			}
			_, err = fmt.Fprintf(c.OutOrStdout(), "written to %s\n", d.lockFile)
			return err
		},
	}
	d.add(c)
	return c
}

// emptySet has all kinds: what comes later is new.
func emptySet() pin.Set {
	out := pin.Set{}
	for _, k := range pin.Kinds {
		out[k] = map[string]pin.Entry{}
	}
	return out
}

func sortedServers(l pin.Lock) []string {
	var all []string
	for name := range l {
		all = append(all, name)
	}
	slices.Sort(all)
	return all
}

// errDiffers is for the status alone: what differs was printed.
var errDiffers = errors.New("not everything is trusted as it is")

func diffCommand() *cobra.Command {
	var d definitions
	c := &cobra.Command{
		Use:   "diff (--gateway ADDRESS | --config FILE) [SERVER [NAME]]",
		Short: "Show what servers offer that is not trusted as it is; status 1 if there is any",
		Args:  cobra.MaximumNArgs(2),
		RunE: func(c *cobra.Command, args []string) error {
			overview, lock, err := d.read(c.Context(), args[:min(len(args), 1)])
			if err != nil {
				return err
			}
			found, err := chosen(overview, args)
			if err != nil {
				return err
			}
			show(c.OutOrStdout(), found)
			showGone(c.OutOrStdout(), lock, overview.Definitions, args)
			if len(found) > 0 {
				return errDiffers
			}
			_, err = fmt.Fprintln(c.OutOrStdout(), "everything is trusted as it is")
			return err
		},
	}
	d.add(c)
	d.addGateway(c)
	return c
}

func approveCommand() *cobra.Command {
	var d definitions
	var yes bool
	c := &cobra.Command{
		Use:   "approve (--gateway ADDRESS | --config FILE) [SERVER [NAME]]",
		Short: "Show what servers offer that is not trusted as it is, and trust it",
		Long: "Show what servers offer that is not trusted as it is, and trust it, with what the scan has found in it: of all\n" +
			"servers, of one, or one item by the server's own name for it. A running gateway offers it at once; with --config\n" +
			"the servers are asked and the lock file is written, which running gateways notice. --gateway with --lock writes\n" +
			"what that gateway sees into the file.",
		Args: cobra.MaximumNArgs(2),
		RunE: func(c *cobra.Command, args []string) error {
			overview, lock, err := d.read(c.Context(), args[:min(len(args), 1)])
			if err != nil {
				return err
			}
			if overview.Locked && !d.locked() {
				return integrity.ErrLocked
			}
			found, err := chosen(overview, args)
			if err != nil {
				return err
			}
			if len(found) == 0 {
				_, err := fmt.Fprintln(c.OutOrStdout(), "everything is trusted as it is")
				return err
			}
			show(c.OutOrStdout(), found)
			if !yes {
				if yes, err = confirm(c.InOrStdin(), c.OutOrStdout(), len(found)); err != nil || !yes {
					return err
				}
			}
			if err := d.trust(c, lock, found); err != nil {
				return err
			}
			_, err = fmt.Fprintf(c.OutOrStdout(), "%d approved\n", len(found))
			return err
		},
	}
	d.add(c)
	d.addGateway(c)
	c.Flags().BoolVar(&yes, "yes", false, "do not ask")
	return c
}

// trust writes what was found into the lock file, or tells the gateway.
func (d *definitions) trust(c *cobra.Command, lock pin.Lock, found []integrity.Definition) error {
	if d.locked() {
		for _, o := range found {
			if lock[o.Server] == nil {
				lock[o.Server] = emptySet()
			}
			lock[o.Server].Put(pin.Item{Kind: o.Kind, Name: o.Name}, o.Current)
		}
		return d.write(lock)
	}
	approvals := make([]integrity.Approval, 0, len(found))
	for _, o := range found {
		approvals = append(approvals, integrity.Approval{Server: o.Server, Kind: o.Kind, Name: o.Name, Hash: o.Current.Hash})
	}
	body, err := json.Marshal(approvals)
	if err != nil {
		return err
	}
	_, err = d.request(c.Context(), http.MethodPost, gatewayconfig.PathApprove, body)
	return err
}

// chosen are the definitions that are not trusted as they are, of the server and
// of the name in args, if there are any. What is not there is an error: a slip of
// the pen must not count as trusted.
func chosen(all integrity.Overview, args []string) ([]integrity.Definition, error) {
	if len(args) > 0 && !slices.Contains(all.Servers, args[0]) {
		return nil, fmt.Errorf("%q is no server whose definitions are looked at: there are %s", args[0], listed(all.Servers))
	}
	var out []integrity.Definition
	var differ, same []string
	named := false
	for _, o := range all.Definitions {
		if len(args) > 0 && o.Server != args[0] {
			continue
		}
		if len(args) > 1 && o.Name != args[1] && pin.Visible(o.Name) != args[1] {
			if o.Why != "" {
				differ = append(differ, pin.Visible(o.Name))
			} else {
				same = append(same, pin.Visible(o.Name))
			}
			continue
		}
		named = true
		if o.Why != "" {
			out = append(out, o)
		}
	}
	if len(args) > 1 && !named {
		return nil, fmt.Errorf("server %s has no %q by its own name, without a prefix: there are %s", args[0], args[1], listed(append(differ, same...)))
	}
	return out, nil
}

// mostListed bounds the names of an error.
const mostListed = 20

// listed names what there is.
func listed(names []string) string {
	switch n := len(names) - mostListed; {
	case len(names) == 0:
		return "none"
	case n > 0:
		return fmt.Sprintf("%s and %d more", strings.Join(names[:mostListed], ", "), n)
	}
	return strings.Join(names, ", ")
}

// show prints what is not trusted as it is.
func show(w io.Writer, all []integrity.Definition) {
	for _, o := range all {
		if o.Why == "" {
			continue
		}
		withheld := ""
		if o.Withheld {
			withheld = ", withheld"
		}
		_, _ = fmt.Fprintf(w, "%s: %s%s\n", called(o.Server, pin.Item{Kind: o.Kind, Name: o.Name}), o.Why, withheld)
		switch o.Why {
		case integrity.WhyFound:
		case integrity.WhyNew:
			_, _ = io.WriteString(w, pin.Diff(pin.Entry{}, o.Current, "  "))
		default:
			old := pin.Entry{}
			if o.Pinned != nil {
				old = *o.Pinned
			}
			_, _ = io.WriteString(w, pin.Diff(old, o.Current, "  "))
		}
		for _, f := range o.Findings {
			_, _ = fmt.Fprintf(w, "  found %s at %s: %s\n", f.Check, f.Where, f.Detail)
		}
	}
}

// called names an item for people.
func called(server string, i pin.Item) string {
	if i == pin.OfServer {
		return server + " " + string(i.Kind)
	}
	return server + " " + string(i.Kind) + " " + pin.Visible(i.Name)
}

// showGone prints what the lock file has and no server offers.
func showGone(w io.Writer, lock pin.Lock, all []integrity.Definition, args []string) {
	offered := map[string]bool{}
	for _, o := range all {
		offered[o.Server+"\x00"+string(o.Kind)+"\x00"+o.Name] = true
	}
	for _, server := range sortedServers(lock) {
		for _, i := range lock[server].Items() {
			if len(args) == 0 && !offered[server+"\x00"+string(i.Kind)+"\x00"+i.Name] {
				_, _ = fmt.Fprintf(w, "%s: in the lock file, and not offered\n", called(server, i))
			}
		}
	}
}

// confirm asks whoever sits at the terminal.
func confirm(in io.Reader, out io.Writer, n int) (bool, error) {
	if f, ok := in.(*os.File); ok {
		if info, err := f.Stat(); err != nil || info.Mode()&os.ModeCharDevice == 0 {
			return false, errors.New("nobody is there to be asked: look at diff, then add --yes")
		}
	}
	_, _ = fmt.Fprintf(out, "trust %d definition%s as shown? [y/N] ", n, plural(n))
	line, err := bufio.NewReader(in).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return false, err
	}
	answer := strings.ToLower(strings.TrimSpace(line))
	if answer != "y" && answer != "yes" {
		return false, errors.New("nothing approved")
	}
	return true, nil
}
