package conformance

import (
	"maps"
	"net/http/httptest"
	"testing"

	"mcp-gateway/test/conformance/tasks"
	"mcp-gateway/test/e2e/harness"
)

const revisionModern = "2026-07-28"

// What the reference servers reach by themselves. A suite that runs less would
// find nothing wrong with the gateway.
const (
	modernScenarios, modernChecks             = 40, 153
	tasksScenarios, tasksChecks               = 10, 44
	clientScenariosModern, clientChecksModern = 8, 62
)

func TestModernServerScenarios(t *testing.T) {
	server := func(t *testing.T, url string) report {
		t.Helper()
		return suite(t, nil, "server", "--url", url, "--suite", "all", "--spec-version", revisionModern)
	}
	start := func(t *testing.T) string {
		t.Helper()
		_, url := harness.ReferenceModern(t, "")
		return url
	}
	whole(t, through(t, "server scenarios, "+revisionModern, start, server), modernScenarios, modernChecks)
}

// TestTasksScenarios is about an extension: no suite runs its scenarios.
func TestTasksScenarios(t *testing.T) {
	server := func(t *testing.T, url string) report {
		t.Helper()
		all := report{}
		for _, name := range []string{
			"lifecycle", "capability-negotiation", "wire-fields", "request-state-removal", "mrtr-input", "request-headers",
			"dispatch-and-envelope", "status-notifications", "required-task-error", "mrtr-composition",
		} {
			maps.Copy(all, suite(t, nil, "server", "--url", url, "--scenario", "tasks-"+name, "--spec-version", revisionModern, "--force"))
		}
		return all
	}
	start := func(t *testing.T) string {
		t.Helper()
		s := httptest.NewServer(tasks.New())
		t.Cleanup(s.Close)
		return s.URL + "/mcp"
	}
	whole(t, through(t, "tasks scenarios, "+revisionModern, start, server), tasksScenarios, tasksChecks)
}

// TestModernClientScenarios leaves out the scenarios of authorization.
func TestModernClientScenarios(t *testing.T) {
	names := []string{
		"tools_call", "request-metadata", "sep-2322-client-request-state", "http-standard-headers", "http-custom-headers",
		"http-invalid-tool-headers", "json-schema-ref-no-deref", "json-schema-2020-12-preservation",
	}
	client := harness.Tool(t, ".tools/reference/everything-client")
	// Whether a server has sessions too is found out by opening one, which the suite
	// takes for a client without the manners of the stateless revision.
	front := fronts(t, "modern")
	direct := clientScenarios(t, client, revisionModern, names)
	whole(t, direct, clientScenariosModern, clientChecksModern)
	alone := clientScenarios(t, front("", client), revisionModern, names)
	federated := clientScenarios(t, front(harness.Demo(t, "weather"), client), revisionModern, names)
	tabulate(t, "client scenarios, "+revisionModern, direct, column{"unprefixed", alone}, column{"prefixed", federated})
	compareClients(t, direct, column{"unprefixed", alone}, column{"prefixed", federated})
}

// whole checks that the suite ran all that it has, and found nothing wrong.
func whole(t *testing.T, found report, scenarios, checks int) {
	t.Helper()
	if len(found) != scenarios || found.passed() != checks {
		t.Errorf("%d scenarios with %d checks passed, want %d with %d", len(found), found.passed(), scenarios, checks)
		for name, f := range found {
			for _, failed := range f.Failed {
				t.Errorf("%s: %s", name, failed)
			}
		}
	}
}
