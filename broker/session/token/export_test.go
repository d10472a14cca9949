package token

// Remembered is how many ended sessions a store remembers.
func Remembered(s *Store) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.ended)
}
