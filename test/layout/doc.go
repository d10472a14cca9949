// Package layout holds the rules of the repository as tests: who may import
// whom, how long a file may get, what no file says. A rule that nobody runs is
// a wish. It has no code of its own and serves no path.
package layout
