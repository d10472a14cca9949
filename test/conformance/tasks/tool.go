package tasks

import (
	"fmt"
	"maps"
	"slices"
	"time"
)

// support says whether a tool becomes a task.
type support int

const (
	never  support = iota
	maybe          // if the client declares the extension
	always         // only then
)

// tool is one of the suite's fixtures.
type tool struct {
	support support
	// asks are the inputs that the task waits for, asksFirst the one before there
	// is a task.
	asks      []string
	asksFirst string
	run       func(arguments map[string]any) work
}

const soon = 300 * time.Millisecond

var tools = map[string]tool{
	"greet": {run: func(arguments map[string]any) work {
		return work{result: text(fmt.Sprintf("Hello, %v!", arguments["name"]), false)}
	}},
	"slow_compute": {support: maybe, run: func(arguments map[string]any) work {
		seconds, _ := arguments["seconds"].(float64) // else at once
		return work{takes: time.Duration(seconds * float64(time.Second)), result: text("Computed.", false)}
	}},
	"failing_job": {support: always, run: func(map[string]any) work {
		return work{takes: soon, result: text("The job failed.", true)}
	}},
	"protocol_error_job": {support: always, run: func(map[string]any) work {
		return work{takes: soon, failure: object{"code": -32603, "message": "The job broke down."}}
	}},
	"confirm_delete":      {support: always, asks: []string{"confirmation"}, run: done},
	"multi_input":         {support: always, asks: []string{"first", "second"}, run: done},
	"test_tool_with_task": {support: always, asksFirst: "user_name", run: done},
}

func done(map[string]any) work { return work{result: text("Done.", false)} }

// list is the tools as tools/list tells them, by name.
func list() []object {
	var all []object
	for _, name := range slices.Sorted(maps.Keys(tools)) {
		all = append(all, object{"name": name, "inputSchema": object{"type": "object"}})
	}
	return all
}
