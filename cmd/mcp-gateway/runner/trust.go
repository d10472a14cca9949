package runner

import (
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"go.uber.org/zap"
)

// authorities reads the certificate authorities of --trusted-ca; nil, for the
// system's, without a file.
func authorities(file string) (*x509.CertPool, error) {
	if file == "" {
		return nil, nil
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("--trusted-ca: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("--trusted-ca: %s holds no certificate in PEM", file)
	}
	return pool, nil
}

// authoritiesOfEnvoy is authorities for a file that is to be where Envoys are, and
// need not be here.
func authoritiesOfEnvoy(log *zap.Logger, file string) (*x509.CertPool, error) {
	pool, err := authorities(file)
	if errors.Is(err, fs.ErrNotExist) {
		log.Warn("the file of --trusted-ca is not here: issuers' keys are fetched with the system's certificate authorities", zap.String("file", file))
		return nil, nil
	}
	return pool, err
}
