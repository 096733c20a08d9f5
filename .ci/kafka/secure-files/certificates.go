package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"time"
)

// life is how long a certificate is valid, but for the one that has expired.
const life = 24 * time.Hour

// authority signs certificates.
type authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

// certificates are the files with certificates and keys, by name.
func certificates(now time.Time) (map[string][]byte, error) {
	ca, err := newAuthority("departures tests", now)
	if err != nil {
		return nil, err
	}
	stranger, err := newAuthority("a stranger", now)
	if err != nil {
		return nil, err
	}
	files := map[string][]byte{"ca.pem": ca.pem(), "stranger.pem": stranger.pem()}
	for name, end := range map[string]time.Time{"server.pem": now.Add(life), "expired.pem": now.Add(-life)} {
		if files[name], err = ca.sign(end); err != nil {
			return nil, err
		}
	}
	return files, nil
}

// newAuthority is one that has signed itself.
func newAuthority(name string, now time.Time) (*authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: now.Add(-life), NotAfter: now.Add(life),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	certificate, err := x509.ParseCertificate(der)
	return &authority{certificate, key}, err
}

func (a *authority) pem() []byte { return block("CERTIFICATE", a.certificate.Raw) }

// sign makes a key and a certificate for 127.0.0.1 that is valid until end, in one file, as a broker wants them.
func (a *authority) sign(end time.Time) ([]byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(end.UnixNano()), Subject: pkix.Name{CommonName: "broker"}, NotBefore: end.Add(-2 * life), NotAfter: end,
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		KeyUsage:    x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	certificate, err := x509.CreateCertificate(rand.Reader, template, a.certificate, key.Public(), a.key)
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	return bytes.Join([][]byte{block("PRIVATE KEY", der), block("CERTIFICATE", certificate)}, nil), nil
}

func block(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}
