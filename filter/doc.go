// Package filter decides what happens to one HTTP stream of MCP traffic: answer
// it with an error, hand it to a server with a few bytes changed, hand it to
// the broker as it is, or ask the broker a question first.
//
// It is the data path's core and is pure: bytes and headers in, a Decision out.
// It opens no socket, keeps no goroutine, reads no clock and logs nothing. A
// host (filter/dynamicmodule or filter/golang, inside Envoy) owns the stream,
// carries decisions out and calls back. Nothing of the host's memory is kept past
// a call.
//
// One request, top to bottom: Stream.RequestHeaders, Stream.RequestBody,
// Stream.Answer for each question asked, Stream.ResponseHeaders,
// Stream.Replayed if that asked one, Stream.ResponseBody.
//
// What goes to a server: calls, by name or URI; a client's answers, progress and
// cancellations, by whose request they belong to (oneway.go); a GET that takes a
// server's stream up again (resume.go). All else is the broker's.
//
// Requests of stateless revisions leave that path where their body is read
// (stateless.go): they have headers that repeat the body (mirror.go), and no
// session. A call whose client and server have no era in common is the broker's,
// which translates.
package filter
