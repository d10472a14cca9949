package bridge

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"sync"
)

// Transport returns an http.RoundTripper that reaches h in this process, without
// a socket: for the broker's own requests to a bridge.
func Transport(h http.Handler) http.RoundTripper { return &inProcess{h} }

type inProcess struct{ handler http.Handler }

// RoundTrip returns as soon as the headers of the answer are known. The
// handler's request ends when the request's context or the answer's body does.
func (t *inProcess) RoundTrip(r *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancel(r.Context())
	in := r.Clone(ctx)
	in.RequestURI = r.URL.RequestURI()
	if in.Host == "" {
		in.Host = r.URL.Host
	}
	if in.Body == nil {
		in.Body = http.NoBody
	}
	body, writer := io.Pipe()
	w := &pipeWriter{header: http.Header{}, body: writer, begun: make(chan struct{})}
	go func() {
		defer cancel()
		defer func() {
			_ = in.Body.Close()
			var err error // the answer's end
			if v := recover(); v != nil {
				err = fmt.Errorf("handler panicked: %v", v)
			}
			w.WriteHeader(http.StatusOK) // if there was nothing to write
			_ = writer.CloseWithError(err)
		}()
		t.handler.ServeHTTP(w, in)
	}()
	// A handler that writes is told of the end as one that waits.
	context.AfterFunc(ctx, func() { _ = writer.CloseWithError(ctx.Err()) })
	select {
	case <-w.begun:
	case <-r.Context().Done():
		cancel()
		return nil, r.Context().Err()
	}
	return &http.Response{
		Status: http.StatusText(w.status), StatusCode: w.status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: w.sent, Body: &pipeBody{body, cancel}, ContentLength: -1, Request: r,
	}, nil
}

// pipeWriter is the http.ResponseWriter of an answer in this process.
type pipeWriter struct {
	header http.Header
	body   *io.PipeWriter
	once   sync.Once
	begun  chan struct{} // closed when status and sent are set
	status int
	sent   http.Header
}

func (w *pipeWriter) Header() http.Header { return w.header }

func (w *pipeWriter) WriteHeader(status int) {
	w.once.Do(func() {
		w.status, w.sent = status, w.header.Clone()
		close(w.begun)
	})
}

func (w *pipeWriter) Write(b []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	if len(b) == 0 {
		return 0, nil // a pipe waits for a reader even then
	}
	return w.body.Write(b)
}

// Flush implements http.Flusher: nothing is held back.
func (w *pipeWriter) Flush() { w.WriteHeader(http.StatusOK) }

// pipeBody ends the handler's request when it is closed.
type pipeBody struct {
	*io.PipeReader
	cancel context.CancelFunc
}

func (b *pipeBody) Close() error {
	b.cancel()
	return b.PipeReader.Close()
}
