// Package tasks is a server of the stateless revision with the tasks extension
// (io.modelcontextprotocol/tasks), with the tools that the conformance suite's
// scenarios of tasks ask for. It shares no code with the gateway that it judges.
package tasks

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"
)

const (
	revision  = "2026-07-28"
	extension = "io.modelcontextprotocol/tasks"
	meta      = "io.modelcontextprotocol/"

	lifetime = 10 * time.Minute // of a task, from its creation
	poll     = 100 * time.Millisecond

	maxBody = 1 << 20
)

// Codes of JSON-RPC errors.
const (
	codeParse   = -32700
	codeMethod  = -32601
	codeParams  = -32602
	codeHeaders = -32020
	codeMissing = -32021
	codeVersion = -32022
)

// object is a JSON object to write.
type object = map[string]any

// fault is an error that answers a request.
type fault struct {
	status, code int
	message      string
	data         any
}

// request is a message of a client.
type request struct {
	ID     json.RawMessage `json:"id"`
	Method string          `json:"method"`
	Params struct {
		Name           string                     `json:"name"`
		URI            string                     `json:"uri"`
		TaskID         string                     `json:"taskId"`
		Arguments      map[string]any             `json:"arguments"`
		InputResponses map[string]json.RawMessage `json:"inputResponses"`
		Meta           map[string]json.RawMessage `json:"_meta"`
	} `json:"params"`
}

// declares reports whether the request declares the tasks extension.
func (r *request) declares() bool {
	var declared struct{ Extensions map[string]json.RawMessage }
	return json.Unmarshal(r.Params.Meta[meta+"clientCapabilities"], &declared) == nil && declared.Extensions[extension] != nil
}

// Server is the server. It is an http.Handler at any path.
type Server struct {
	mu    sync.Mutex
	tasks map[string]*task
}

// New is a server without tasks.
func New() *Server { return &Server{tasks: map[string]*task{}} }

func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		w.WriteHeader(http.StatusMethodNotAllowed)
		return
	}
	var in request
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil || json.Unmarshal(body, &in) != nil {
		write(w, nil, nil, &fault{http.StatusBadRequest, codeParse, "Parse error", nil})
		return
	}
	if in.ID == nil {
		w.WriteHeader(http.StatusAccepted)
		return
	}
	if f := check(r.Header, &in); f != nil {
		write(w, in.ID, nil, f)
		return
	}
	result, f := s.answer(r, &in)
	write(w, in.ID, result, f)
}

func write(w http.ResponseWriter, id json.RawMessage, result object, f *fault) {
	message, status := object{"jsonrpc": "2.0", "id": id}, http.StatusOK
	if f != nil {
		status = f.status
		failure := object{"code": f.code, "message": f.message}
		if f.data != nil {
			failure["data"] = f.data
		}
		message["error"] = failure
	} else {
		result["_meta"] = object{meta + "serverInfo": object{"name": "tasks", "version": "1"}}
		message["result"] = result
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(message) // a client that left gets nothing
}

// check holds the headers to the message, in the order that the suite expects.
func check(h http.Header, r *request) *fault {
	var version string
	if json.Unmarshal(r.Params.Meta[meta+"protocolVersion"], &version) != nil || r.Params.Meta[meta+"clientCapabilities"] == nil {
		return &fault{http.StatusBadRequest, codeParams, "Missing _meta of the request", nil}
	}
	name, named := "", true
	switch r.Method {
	case "tools/call", "prompts/get":
		name = r.Params.Name
	case "resources/read":
		name = r.Params.URI
	case "tasks/get", "tasks/update", "tasks/cancel":
		name = r.Params.TaskID
	default:
		named = false
	}
	if h.Get("MCP-Protocol-Version") != version || h.Get("Mcp-Method") != r.Method || named && h.Get("Mcp-Name") != name {
		return &fault{http.StatusBadRequest, codeHeaders, "Headers and body differ", nil}
	}
	if version != revision {
		return &fault{http.StatusBadRequest, codeVersion, "Unsupported protocol version",
			object{"supported": []string{revision}, "requested": version}}
	}
	return nil
}

func (s *Server) answer(r *http.Request, in *request) (object, *fault) {
	switch in.Method {
	case "server/discover":
		return object{
			"resultType": "complete", "ttlMs": 60000, "cacheScope": "public", "supportedVersions": []string{revision},
			"capabilities": object{"tools": object{}, "extensions": object{extension: object{}}},
		}, nil
	case "tools/list":
		return object{"resultType": "complete", "ttlMs": 60000, "cacheScope": "public", "tools": list()}, nil
	case "tools/call":
		t, ok := tools[in.Params.Name]
		if !ok {
			return nil, &fault{http.StatusBadRequest, codeParams, "Unknown tool", nil}
		}
		return s.call(r, in, t)
	case "tasks/get", "tasks/update", "tasks/cancel":
		if !in.declares() {
			return nil, missing()
		}
		return s.task(in)
	}
	return nil, &fault{http.StatusNotFound, codeMethod, "Method not found", nil}
}

func missing() *fault {
	return &fault{http.StatusBadRequest, codeMissing, "The client does not declare tasks",
		object{"requiredCapabilities": object{"extensions": object{extension: object{}}}}}
}

// call answers at once, or with a task.
func (s *Server) call(r *http.Request, in *request, t tool) (object, *fault) {
	if t.support == never {
		return t.run(in.Params.Arguments).result, nil
	}
	if !in.declares() {
		if t.support == always {
			return nil, missing()
		}
		done := t.run(in.Params.Arguments)
		select {
		case <-time.After(done.takes):
		case <-r.Context().Done():
		}
		return done.result, nil
	}
	if t.asksFirst != "" && in.Params.InputResponses[t.asksFirst] == nil {
		return object{"resultType": "input_required", "inputRequests": object{t.asksFirst: elicitation("name")}}, nil
	}
	work := t.run(in.Params.Arguments)
	if t.asksFirst != "" {
		work.result = text(fmt.Sprintf("Done for %s.", in.Params.InputResponses[t.asksFirst]), false)
	}
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	made := &task{work: work, id: fmt.Sprintf("task-%d", len(s.tasks)+1), created: now, updated: now, pending: t.asks}
	s.tasks[made.id] = made
	out := made.state(now)
	out["resultType"] = "task"
	for _, later := range []string{"result", "error", "inputRequests"} {
		delete(out, later)
	}
	return out, nil
}

// task answers what is asked of a task.
func (s *Server) task(in *request) (object, *fault) {
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.tasks[in.Params.TaskID]
	if t == nil || now.After(t.created.Add(lifetime)) {
		return nil, &fault{http.StatusBadRequest, codeParams, "Unknown task", nil}
	}
	switch in.Method {
	case "tasks/cancel":
		t.cancel(now)
	case "tasks/update":
		t.update(in.Params.InputResponses, now)
	default:
		out := t.state(now)
		out["resultType"] = "complete"
		return out, nil
	}
	return object{"resultType": "complete"}, nil
}

// text is a tool's result.
func text(words string, failed bool) object {
	result := object{"resultType": "complete", "content": []object{{"type": "text", "text": words}}}
	if failed {
		result["isError"] = true
	}
	return result
}

// elicitation asks the user for one text and a confirmation.
func elicitation(what string) object {
	return object{"method": "elicitation/create", "params": object{
		"mode": "form", "message": "Give the " + strings.ReplaceAll(what, "_", " ") + ".",
		"requestedSchema": object{"type": "object", "properties": object{
			what: object{"type": "string"}, "confirm": object{"type": "boolean"},
		}},
	}}
}
