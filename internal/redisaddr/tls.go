package redisaddr

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
)

// TLS is how to speak TLS to a Redis. The zero value trusts the system's
// authorities and shows no certificate.
type TLS struct {
	// CA are certificates of the authorities to trust, PEM; empty for the
	// system's.
	CA string
	// Certificate, with what leads to its authority, and Key are shown to a Redis
	// that asks for them, PEM. Either both or none.
	Certificate, Key string
	// ServerName is what the Redis' certificate must be for; empty for the host of
	// each node.
	ServerName string
	// SkipVerify accepts any certificate: whoever is on the way can read and
	// change everything.
	SkipVerify bool
}

// Errors of TLS.Config, one for each setting.
var (
	ErrCA          = errors.New("holds no certificate in PEM")
	ErrCertificate = errors.New("certificate and key are no pair in PEM")
)

// Config returns the settings for package tls. The error is ErrCA or
// ErrCertificate.
func (t TLS) Config() (*tls.Config, error) {
	c := &tls.Config{
		MinVersion:         tls.VersionTLS12,
		ServerName:         t.ServerName,
		InsecureSkipVerify: t.SkipVerify,
	}
	if t.CA != "" {
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM([]byte(t.CA)) {
			return nil, ErrCA
		}
	}
	if t.Certificate != "" || t.Key != "" {
		pair, err := tls.X509KeyPair([]byte(t.Certificate), []byte(t.Key))
		if err != nil {
			return nil, ErrCertificate // that of the package may quote what is in a file
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c, nil
}
