package memory

// Remembered returns how many ended sessions s knows.
func Remembered(s *Store) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.ended.over)
}
