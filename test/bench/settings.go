package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"mcp-gateway/test/bench/target"
)

// envoyPath is where the build puts the pinned Envoy.
const envoyPath = ".tools/envoy/1.39.3/envoy"

// contribPath is where scripts/host.sh puts the program that stands in for an Envoy
// with contrib's filter for Go.
const contribPath = "bin/golanghost/contrib"

// Sections of a report.
const (
	sectionCalls   = "calls"
	sectionLists   = "lists"
	sectionStreams = "streams"
)

// settings are the flags.
type settings struct {
	targets  []target.Kind
	sizes    []int // bytes
	conns    []int
	sections []string
	rounds   int
	duration time.Duration
	warmup   time.Duration
	share    float64
	check    bool
	options  target.Options
	profile  string
	json     string
}

func parse(args []string) (settings, error) {
	var s settings
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	targets := f.String("targets", "direct,plain,gateway,golang,guarded,stateless,mcp_router", "what to measure")
	sizes := f.String("sizes", "64,16K,1M", "sizes of the arguments")
	conns := f.String("conns", "1,16,128", "numbers of connections")
	sections := f.String("sections", "calls,lists,streams", "what to report: tools/call, tools/list of 1000 tools, server-sent events")
	gatewayArgs := f.String("gateway-args", "", "further arguments of mcp-gateway run, separated by spaces")
	quick := f.Bool("quick", false, "two sizes, 16 connections, 3 rounds of 1s, unless given: under 2 minutes")
	f.IntVar(&s.rounds, "rounds", 5, "interleaved rounds per cell")
	f.DurationVar(&s.duration, "duration", 2*time.Second, "measured time per target and round")
	f.DurationVar(&s.warmup, "warmup", 300*time.Millisecond, "unmeasured time before it")
	f.Float64Var(&s.share, "rate", 0.5, "fixed rate as a share of plain Envoy's closed loop; 0 leaves the fixed rate out")
	f.BoolVar(&s.check, "check", false, "fail when a goal is missed")
	f.StringVar(&s.options.Envoy, "envoy", "", "Envoy's executable; default "+envoyPath+", then $ENVOY")
	f.StringVar(&s.options.Contrib, "contrib", contribPath, "executable of an Envoy with contrib's filter for Go, for golang")
	f.StringVar(&s.options.GatewayBinary, "gateway", "bin/mcp-gateway", "the gateway's executable")
	f.StringVar(&s.profile, "profile", "", "folder for one perf profile per target and cell")
	f.StringVar(&s.json, "json", "", "file for the report with every round")
	if err := f.Parse(args); err != nil {
		return s, err
	}
	if f.NArg() > 0 {
		return s, fmt.Errorf("unexpected argument %q", f.Arg(0))
	}
	if *quick {
		if err := shorten(f); err != nil {
			return s, err
		}
	}
	s.options.GatewayArgs = strings.Fields(*gatewayArgs)
	s.sections = strings.Split(*sections, ",")
	var errs [3]error
	s.targets, errs[0] = kinds(*targets)
	s.sizes, errs[1] = numbers(*sizes)
	s.conns, errs[2] = numbers(*conns)
	return s, errors.Join(append(errs[:], s.validate())...)
}

// shorten sets what -quick stands for where no flag says otherwise.
func shorten(f *flag.FlagSet) error {
	given := map[string]bool{}
	f.Visit(func(fl *flag.Flag) { given[fl.Name] = true })
	for name, value := range map[string]string{"sizes": "64,16K", "conns": "16", "rounds": "3", "duration": "1s"} {
		if given[name] {
			continue
		}
		if err := f.Set(name, value); err != nil {
			return err
		}
	}
	return nil
}

func (s *settings) validate() error {
	var errs []error
	for _, name := range s.sections {
		if name != sectionCalls && name != sectionLists && name != sectionStreams {
			errs = append(errs, fmt.Errorf("-sections: %q is none of calls, lists, streams", name))
		}
	}
	if s.rounds < 1 || s.duration <= 0 || s.warmup < 0 || s.share < 0 {
		errs = append(errs, errors.New("-rounds and -duration must be positive, -warmup and -rate not negative"))
	}
	return errors.Join(errs...)
}

// find looks for the executables that the targets need.
func (s *settings) find() error {
	if s.options.Envoy == "" {
		s.options.Envoy = envoyPath
		if _, err := os.Stat(envoyPath); err != nil {
			s.options.Envoy = os.Getenv("ENVOY")
		}
	}
	if s.options.Envoy == "" && slices.ContainsFunc(s.targets, func(k target.Kind) bool { return k != target.Direct }) {
		return errors.New("no Envoy: run make build, set ENVOY or -envoy")
	}
	if slices.ContainsFunc(s.targets, target.Kind.Ours) {
		if _, err := os.Stat(s.options.GatewayBinary); err != nil {
			return fmt.Errorf("no gateway, run make build or leave it out with -targets: %w", err)
		}
	}
	if slices.Contains(s.targets, target.Golang) {
		if _, err := os.Stat(s.options.Contrib); err != nil {
			return fmt.Errorf("no Envoy with contrib's filter for Go, run make bench or leave golang out with -targets: %w", err)
		}
	}
	return nil
}

// standIn reports whether golang is measured without contrib's own filter.
func (s settings) standIn() bool {
	return slices.Contains(s.targets, target.Golang) && s.options.Contrib == contribPath
}

// kinds reads the list of targets into the order of measurement.
func kinds(list string) ([]target.Kind, error) {
	names := strings.Split(list, ",")
	var found []target.Kind
	for _, k := range target.Kinds() {
		if slices.Contains(names, string(k)) {
			found = append(found, k)
		}
	}
	if len(found) != len(names) {
		return nil, fmt.Errorf("-targets %s: want some of %v, each once", list, target.Kinds())
	}
	return found, nil
}

// numbers reads positive integers with an optional K or M.
func numbers(list string) ([]int, error) {
	var found []int
	for _, word := range strings.Split(list, ",") {
		digits, unit := word, 1
		switch {
		case strings.HasSuffix(word, "K"):
			digits, unit = word[:len(word)-1], 1<<10
		case strings.HasSuffix(word, "M"):
			digits, unit = word[:len(word)-1], 1<<20
		}
		n, err := strconv.Atoi(digits)
		if err != nil || n < 1 {
			return nil, fmt.Errorf("%q in %q is no positive number", word, list)
		}
		found = append(found, n*unit)
	}
	return found, nil
}
