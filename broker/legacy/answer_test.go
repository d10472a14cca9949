package legacy

import (
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// wantFree checks that nothing takes up room.
func (g *gateway) wantFree() {
	g.t.Helper()
	synctest.Wait()
	in := g.clients.in
	for name, is := range map[string][2]int64{
		"small": {in.small.free, smallRoom}, "large": {in.large.free, largeRoom}, "kept": {in.kept.free, keptRoom}, "held": {g.clients.held.free, maxHeld},
	} {
		if is[0] != is[1] {
			g.t.Errorf("%s: %d bytes are free in the end, want %d", name, is[0], is[1])
		}
	}
}

// unread opens a stream that is read no further than to its first event.
func (g *gateway) unread(headers ...string) *stream {
	g.t.Helper()
	resp, err := g.http.Do(g.request(g.t.Context(), "GET", "/mcp/sse", "", headers))
	if err != nil {
		g.t.Fatal(err)
	}
	g.t.Cleanup(func() { _ = resp.Body.Close() })
	text := make([]byte, 200)
	n, _ := resp.Body.Read(text)
	_, place, _ := strings.Cut(string(text[:n]), "data: ")
	return &stream{gateway: g, place: strings.TrimSpace(place)}
}

// Answers that nobody reads stay where they are, but for the share of whom they
// are for; others have theirs meanwhile.
func TestAnswersThatNobodyReadsAreBounded(t *testing.T) {
	t.Parallel()
	const calls, size = 64, 1 << 20
	for name, post := range map[string]func(g *gateway){
		"of a stream": func(g *gateway) {
			hog := g.unread("X-Principal: hog")
			for range calls {
				hog.tell(method("large", "1"), "X-Principal: hog")
			}
		},
		"of batches": func(g *gateway) {
			for range calls {
				go func() {
					if resp, err := g.http.Do(g.request(g.t.Context(), "POST", "/mcp", batchOf(method("large", "1")), []string{"X-Principal: hog"})); err == nil {
						g.t.Cleanup(func() { _ = resp.Body.Close() })
					}
				}()
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				end := endpoint()
				large := `"` + strings.Repeat("x", size) + `"`
				var read atomic.Int64
				end.Intercept = func(w http.ResponseWriter, _ *http.Request, method, id string) bool {
					if method != "large" {
						return false
					}
					if n, _ := io.WriteString(w, `{"jsonrpc":"2.0","id":`+id+`,"result":`+large+`}`); n > size {
						read.Add(1)
					}
					return true
				}
				g := newGateway(t, end)
				post(g)
				synctest.Wait()
				if n := read.Load(); n == 0 || n > (largeRoom+keptRoom)/shares/size {
					t.Errorf("%d of %d answers were read", n, calls)
				}
				begun := time.Now()
				got := g.do("POST", "/mcp", batchOf(method("large", "2")), "X-Principal: other")
				if took := time.Since(begun); len(got.body) < size || took != 0 {
					t.Errorf("another client has %d bytes after %v", len(got.body), took)
				}
				time.Sleep(10 * writeTimeout)
				g.wantFree()
			})
		})
	}
}

// Who reads has all answers, however many there are.
func TestAnswersThatAreReadComeThrough(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]func(w http.ResponseWriter, text string){
		"JSON": func(w http.ResponseWriter, text string) { _, _ = io.WriteString(w, text) },
		"JSON of known length": func(w http.ResponseWriter, text string) {
			w.Header().Set("Content-Length", strconv.Itoa(len(text)))
			_, _ = io.WriteString(w, text)
		},
		"event": func(w http.ResponseWriter, text string) {
			w.Header().Set("Content-Type", typeStream)
			_, _ = io.WriteString(w, ": x\n\nid: 1\ndata:\n\ndata: "+text+"\n\n")
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				end := endpoint()
				// A body at, below and above each of the steps.
				sizes := []int{0, handful - 100, handful, handful + 1, smallAnswer - 1, smallAnswer, smallAnswer + 1, batchHeld}
				text := func(i int) string {
					return `{"jsonrpc":"2.0","id":` + strconv.Itoa(i) + `,"result":"` + strings.Repeat("x", sizes[i%len(sizes)]) + `"}`
				}
				end.Intercept = func(w http.ResponseWriter, _ *http.Request, method, id string) bool {
					i, err := strconv.Atoi(id)
					if err == nil && method == "x" {
						answer(w, text(i))
					}
					return err == nil && method == "x"
				}
				g := newGateway(t, end)
				var messages, want []string
				for i := range 3 * len(sizes) {
					messages, want = append(messages, method("x", strconv.Itoa(i))), append(want, text(i))
				}
				got := g.do("POST", "/mcp", batchOf(messages[:len(sizes)-1]...)).body
				if got != "["+strings.Join(want[:len(sizes)-1], ",")+"]" {
					t.Errorf("batch: %d bytes", len(got))
				}
				s := g.do("POST", "/mcp", batchOf(messages...)).body
				slices.Sort(want)
				var events []string
				for line := range strings.Lines(s) {
					if data, ok := strings.CutPrefix(line, "data: "); ok {
						events = append(events, strings.TrimSuffix(data, "\n"))
					}
				}
				slices.Sort(events)
				if !slices.Equal(events, want) {
					t.Errorf("large batch: %d bytes, %d events", len(s), len(events))
				}
				g.wantFree()
			})
		})
	}
}

// An answer that takes up room must come to its end in time.
func TestAnswerThatDoesNotEndIsGivenUp(t *testing.T) {
	t.Parallel()
	for name, kind := range map[string]string{"JSON": typeJSON, "event": typeStream} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				end := endpoint()
				end.Intercept = func(w http.ResponseWriter, r *http.Request, method, _ string) bool {
					if method != "endless" {
						return false
					}
					w.Header().Set("Content-Type", kind)
					_, _ = io.WriteString(w, "id: 1\ndata: "+strings.Repeat(" ", smallAnswer))
					_ = http.NewResponseController(w).Flush()
					<-r.Context().Done()
					return true
				}
				g := newGateway(t, end)
				s := g.open()
				s.initialize()
				s.tell(method("endless", "1"))
				begun := time.Now()
				got := s.message()
				if took := time.Since(begun); !strings.Contains(got, "the answer was lost on its way") || took != readTimeout {
					t.Errorf("%s after %v", got, took)
				}
				s.leave()
				g.wantFree()
			})
		})
	}
}

// A principal has a part of the batches at one time, and of the bytes in them.
func TestBatchesAreBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		end := endpoint()
		free := make(chan struct{})
		end.Intercept = func(_ http.ResponseWriter, r *http.Request, _, _ string) bool {
			if r.Header.Get("X-Principal") == "hog" {
				<-free
			}
			return false
		}
		g := newGateway(t, end)
		most := maxHeld / shares / batchSize
		got := make(chan int, most)
		for range most {
			go func() { got <- g.do("POST", "/mcp", batchOf(ping("1")), "X-Principal: hog").status }()
		}
		synctest.Wait()
		if r := g.do("POST", "/mcp", batchOf(ping("1")), "X-Principal: hog"); r.status != 503 || r.header.Get("Retry-After") == "" {
			t.Errorf("one batch too many: %d %s", r.status, r.body)
		}
		if r := g.do("POST", "/mcp", batchOf(ping("1")), "X-Principal: other"); r.status != 200 {
			t.Errorf("somebody else: %d %s", r.status, r.body)
		}
		close(free)
		for range most {
			if status := <-got; status != 200 {
				t.Errorf("within the bound: %d", status)
			}
		}
		g.wantFree()
	})
}
