package kafkatest

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

// SecuredEnv is the variable that names the folder of .ci/kafka/secure, when the brokers of Env are the one that it started. What is
// tested then comes to the secured side of them, with TLS, a login, and no right but those that it was granted; the test itself goes
// on to use the other side, where everybody may do everything.
const SecuredEnv = "KAFKA_TEST_SECURED"

// Secured is the secured side of real brokers, and the user that may come to it.
type Secured struct {
	Env        map[string]string // what the program needs to log in, by the names of its variables: KAFKA_BROKERS and others
	Brokers    []string          // as in Env
	Password   string            // in Env stands the file that holds it
	Expired    string            // the address of a listener whose certificate has expired
	StrangerCA string            // the file of a certificate that vouches for nobody here
	Open       []string          // the other side
	roots      *x509.CertPool
}

// IsSecured says whether the real brokers have a secured side that is known.
func IsSecured() bool { return Real() && os.Getenv(SecuredEnv) != "" }

// secured is what SecuredEnv names; nil where nothing is.
var secured = sync.OnceValues(func() (*Secured, error) {
	if !IsSecured() {
		return nil, nil
	}
	folder := os.Getenv(SecuredEnv)
	s := &Secured{
		Env: map[string]string{}, StrangerCA: filepath.Join(folder, "stranger.pem"), Open: strings.Split(os.Getenv(Env), ","),
		roots: x509.NewCertPool(),
	}
	env, err1 := os.ReadFile(filepath.Join(folder, "env"))
	password, err2 := os.ReadFile(filepath.Join(folder, "password"))
	expired, err3 := os.ReadFile(filepath.Join(folder, "expired"))
	ca, err4 := os.ReadFile(filepath.Join(folder, "ca.pem"))
	if err := errors.Join(err1, err2, err3, err4); err != nil {
		return nil, fmt.Errorf("the folder that %s names: %w", SecuredEnv, err)
	}
	for line := range strings.Lines(string(env)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		s.Env[name] = value
	}
	s.Brokers = strings.Split(s.Env["KAFKA_BROKERS"], ",")
	s.Password, s.Expired = strings.TrimSpace(string(password)), strings.TrimSpace(string(expired))
	s.roots.AppendCertsFromPEM(ca)
	return s, nil
})

// SecuredSide is the secured side of brokers, nil if they have none, as is usual. The test is marked as one that met it.
func SecuredSide(t testing.TB, brokers []string) *Secured {
	t.Helper()
	s, err := secured()
	if err != nil {
		t.Fatal(err)
	}
	if s == nil || !slices.Equal(brokers, s.Open) {
		return nil
	}
	t.Attr(brokerAttr, "Apache Kafka with TLS, SCRAM and ACLs")
	return s
}

// OpenSide is where a test finds the brokers that a program was given: the other side of them, if that was their secured one.
func OpenSide(brokers []string) []string {
	if s, _ := secured(); s != nil && slices.Equal(brokers, s.Brokers) {
		return s.Open
	}
	return brokers
}

// Dial opens a connection, to a secured side with the TLS handshake made: what stands above it, such as a [Cutter], sees Kafka's frames
// as they are.
func Dial(ctx context.Context, network, addr string) (net.Conn, error) {
	if s, _ := secured(); s != nil && slices.Contains(s.Brokers, addr) {
		return (&tls.Dialer{Config: &tls.Config{RootCAs: s.roots}}).DialContext(ctx, network, addr)
	}
	return (&net.Dialer{}).DialContext(ctx, network, addr)
}
