// Package redisaddr reads where a Redis is and how to speak TLS to it: what an
// operator writes, for the control plane to check and for the broker to use. It
// connects to nothing. No error holds a part of the address: there may be a
// password in it.
package redisaddr

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// Address is a Redis: one server, a cluster, or a master that Sentinels name.
type Address struct {
	// Nodes are host:port, or one absolute path of a unix socket. Those of a
	// cluster are where to begin, those beside a Master the Sentinels.
	Nodes   []string
	Cluster bool
	// Master is the name by which the Sentinels know the master; empty for none.
	Master string
	// Database is 0 in a cluster.
	Database int
	// Username and Password are of an ACL user; a password alone is that of the
	// user "default".
	Username, Password string
	// TLS: it is spoken to each node.
	TLS bool
	// PoolSize is the most connections to one node; 0 is the client's default.
	PoolSize int
}

// Forms are the ways to write an address, for messages.
const Forms = "redis://host:6379/0, redis://host:6379?addr=host2:6379 for a cluster, " +
	"redis://host:26379/0?master_name=NAME for Sentinels, rediss:// for TLS, or unix:///path"

// ErrScheme says that an address is in none of Forms.
var ErrScheme = errors.New("want " + Forms)

const (
	port         = "6379"
	sentinelPort = "26379"

	maxDatabase = 1 << 20
	maxPool     = 100_000
)

// Parse reads one of Forms. With TLS the scheme is rediss. The parameter addr,
// given once or more, adds nodes; without master_name they are of a cluster. A
// node without a port has Redis' usual one.
func Parse(text string) (Address, error) {
	u, err := url.Parse(text)
	if err != nil {
		return Address{}, errors.New("is no URL: special characters of a password are escaped, as %2F for /")
	}
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return Address{}, errors.New("has parameters that cannot be read")
	}
	a := Address{Username: u.User.Username(), TLS: u.Scheme == "rediss"}
	a.Password, _ = u.User.Password()
	if a.Username != "" && a.Password == "" {
		return Address{}, errors.New("has a user without a password")
	}
	if u.Fragment != "" {
		return Address{}, errors.New("must not have a fragment (#)")
	}
	if err := a.parameters(query); err != nil {
		return Address{}, err
	}
	switch u.Scheme {
	case "redis", "rediss":
		return a, a.servers(u, query["addr"])
	case "unix":
		return a, a.socket(u, query)
	}
	return Address{}, ErrScheme
}

// parameters reads what follows the question mark, addr and db apart.
func (a *Address) parameters(query url.Values) error {
	for name, values := range query {
		switch name {
		case "addr":
			continue
		case "skip_verify":
			return errors.New("has the parameter skip_verify: TLS without looking at certificates is skipVerify at the settings of TLS")
		case "master_name", "pool_size", "db":
		default:
			return errors.New("has a parameter that is none of addr, master_name, pool_size, db")
		}
		if len(values) != 1 || values[0] == "" {
			return fmt.Errorf("want one value for the parameter %s", name)
		}
	}
	a.Master = query.Get("master_name")
	if strings.ContainsFunc(a.Master, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return errors.New("has a master_name with spaces or special characters")
	}
	if text := query.Get("pool_size"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > maxPool {
			return fmt.Errorf("want a pool_size of 1 to %d", maxPool)
		}
		a.PoolSize = n
	}
	return nil
}

func (a *Address) servers(u *url.URL, more []string) error {
	usual := port
	if a.Master != "" {
		usual = sentinelPort
	}
	for _, text := range append([]string{u.Host}, more...) {
		node, ok := hostPort(text, usual)
		if !ok {
			return errors.New("has a node that is no host:port")
		}
		if !slices.Contains(a.Nodes, node) { // a cluster may have one node only
			a.Nodes = append(a.Nodes, node)
		}
	}
	a.Cluster = len(more) > 0 && a.Master == ""
	if u.Query().Has("db") {
		return errors.New("has the parameter db, which is for unix sockets: write the number as the path, as redis://host:6379/0")
	}
	if err := a.database(strings.TrimPrefix(u.Path, "/")); err != nil {
		return err
	}
	if a.Cluster && a.Database != 0 {
		return errors.New("has a database: a cluster has none but 0")
	}
	return nil
}

func (a *Address) socket(u *url.URL, query url.Values) error {
	switch {
	case u.Host != "" || !strings.HasPrefix(u.Path, "/") || u.Path == "/":
		return errors.New("want an absolute path after unix://, as unix:///run/redis.sock")
	case a.Master != "" || query.Has("addr"):
		return errors.New("is a unix socket: there is one server only")
	}
	a.Nodes = []string{u.Path}
	return a.database(query.Get("db"))
}

func (a *Address) database(text string) error {
	if text == "" {
		return nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 || n > maxDatabase {
		return errors.New("want the number of a database, 0 or more")
	}
	a.Database = n
	return nil
}

// hostPort returns text with a port; IPv6 addresses are in brackets.
func hostPort(text, usual string) (string, bool) {
	u, err := url.Parse("redis://" + text)
	if err != nil || u.Host != text || u.Hostname() == "" || strings.HasSuffix(text, ":") {
		return "", false
	}
	if strings.ContainsAny(u.Hostname(), "%, \t") || strings.Contains(u.Hostname(), ":") != strings.HasPrefix(text, "[") {
		return "", false
	}
	if u.Port() == "" {
		return text + ":" + usual, true
	}
	n, err := strconv.Atoi(u.Port())
	return text, err == nil && n >= 1 && n <= 65535
}
