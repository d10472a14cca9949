package bridge

import "sync"

// Bounds on what waits for one stream: messages, and their bytes. A single
// message may be larger.
const (
	maxWaiting      = 1024
	maxWaitingBytes = 4 << 20
)

// mailbox holds the messages for one stream until that takes them.
type mailbox struct {
	mu       sync.Mutex
	messages [][]byte
	bytes    int
	sealed   bool
	wake     chan struct{} // holds a token while there may be something to take
}

func newMailbox() *mailbox { return &mailbox{wake: make(chan struct{}, 1)} }

// put adds a message, which it keeps; false if there is no room for it.
func (m *mailbox) put(message []byte) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.sealed || len(m.messages) > 0 && (len(m.messages) >= maxWaiting || m.bytes+len(message) > maxWaitingBytes) {
		return false
	}
	m.add(message)
	return true
}

// seal adds the last message, for which there is always room.
func (m *mailbox) seal(message []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.sealed {
		m.sealed = true
		m.add(message)
	}
}

// end says that nothing will come any more.
func (m *mailbox) end() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.sealed = true
	m.stir()
}

// back returns messages that were taken and found no reader.
func (m *mailbox) back(messages [][]byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.messages = append(messages, m.messages...)
	for _, message := range messages {
		m.bytes += len(message)
	}
	m.stir()
}

func (m *mailbox) add(message []byte) {
	m.messages = append(m.messages, message)
	m.bytes += len(message)
	m.stir()
}

// take empties the mailbox; last tells that nothing will come after.
func (m *mailbox) take() (messages [][]byte, last bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	messages, m.messages, m.bytes = m.messages, nil, 0
	return messages, m.sealed
}

// stir wakes up a reader for what an earlier one may have left.
func (m *mailbox) stir() {
	select {
	case m.wake <- struct{}{}:
	default:
	}
}
