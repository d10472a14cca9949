package file

// Option changes how a file is read.
type Option func(*decoder)

// WithoutLock has the lock file counted as empty, whether or not it is there: for
// who is about to write it.
func WithoutLock(d *decoder) { d.withoutLock = true }

// WithListen puts listen in the place of the file's gateway.listen before anything
// is checked, and has declared told what the file says. Problems of the address
// speak of --listen then.
func WithListen(listen string, declared func(string)) Option {
	return func(d *decoder) { d.listen, d.declared = listen, declared }
}
