package kafka

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"math/big"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"departures/connector/kafka/kafkatest"
)

func TestSASL(t *testing.T) {
	t.Parallel()
	for _, mechanism := range []string{"PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"} {
		t.Run(mechanism, func(t *testing.T) {
			t.Parallel()
			ctx := within(t, 30*time.Second)
			fake := kafkatest.Fake(t, "users of its own", kfake.EnableSASL(), kfake.Superuser(mechanism, "connector", "right"))
			cfg := config(t, fake.ListenAddrs())
			cfg.Mechanism, cfg.Username, cfg.Password = mechanism, "connector", "right"
			s, _ := opened(t, ctx, prepared(t, ctx, cfg), 0)
			if err := s.Commit(ctx, slices.Values([]Record{event(cfg, "corp/a@1")})); err != nil {
				t.Error(err)
			}
			cfg.Password = "wrong" // kfake just closes the connection, real Kafka says SASL_AUTHENTICATION_FAILED
			short, cancel := context.WithTimeout(ctx, time.Second)
			defer cancel()
			if _, err := preparedBy(t, short, cfg); err == nil {
				t.Error("a wrong password was let in")
			}
		})
	}
}

func TestMechanismThatTheBrokerDoesNotTake(t *testing.T) {
	t.Parallel()
	ctx := within(t, 30*time.Second)
	fake := kafkatest.Fake(t, "an answer of its own", kfake.EnableSASL())
	fake.ControlKey(int16(kmsg.SASLHandshake), func(req kmsg.Request) (kmsg.Response, error, bool) {
		fake.KeepControl()
		resp := req.ResponseKind().(*kmsg.SASLHandshakeResponse)
		resp.ErrorCode = 33 // UNSUPPORTED_SASL_MECHANISM
		resp.SupportedMechanisms = []string{"GSSAPI"}
		return resp, nil, true
	})
	cfg := config(t, fake.ListenAddrs())
	cfg.Mechanism, cfg.Username, cfg.Password = "PLAIN", "connector", "right"
	_, err := preparedBy(t, ctx, cfg)
	refusedFor(t, err, "KAFKA_SASL_MECHANISM")
}

func TestTLS(t *testing.T) {
	t.Parallel()
	ctx := within(t, 30*time.Second)
	server, client := certificates(t)
	fake := kafkatest.Fake(t, "a certificate of its own", kfake.TLS(server))
	cfg := config(t, fake.ListenAddrs())
	cfg.TLS = client
	s, _ := opened(t, ctx, prepared(t, ctx, cfg), 0)
	if err := s.Commit(ctx, slices.Values([]Record{event(cfg, "corp/a@1")})); err != nil {
		t.Error(err)
	}
	cfg.TLS = &tls.Config{}
	short, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	_, err := preparedBy(t, short, cfg)
	var unknown x509.UnknownAuthorityError
	if !errors.As(err, &unknown) {
		t.Errorf("a certificate that nobody vouches for: %v", err)
	}
}

// certificates is a server that says it is 127.0.0.1, and a client that believes it.
func certificates(t *testing.T) (server, client *tls.Config) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(certificate)
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}, &tls.Config{RootCAs: roots}
}

// right is one of the rights that the connector needs.
type right struct {
	resource   kmsg.ACLResourceType
	name       string
	pattern    kmsg.ACLResourcePatternType
	operations []kmsg.ACLOperation
}

// rights are all that it needs, by the name of the right.
func rights(cfg Config) map[string]right {
	const topic, literal = kmsg.ACLResourceTypeTopic, kmsg.ACLResourcePatternTypeLiteral
	const read, write, create, configs = kmsg.ACLOperationRead, kmsg.ACLOperationWrite, kmsg.ACLOperationCreate, kmsg.ACLOperationDescribeConfigs
	return map[string]right{
		"events":           {topic, cfg.EventsTopic, literal, []kmsg.ACLOperation{write, create}},
		"quarantine":       {topic, cfg.QuarantineTopic, literal, []kmsg.ACLOperation{write, create}},
		"state":            {topic, cfg.StateTopic, literal, []kmsg.ACLOperation{write, create}},
		"state, read":      {topic, cfg.StateTopic, literal, []kmsg.ACLOperation{read}},
		"events, configs":  {topic, cfg.EventsTopic, literal, []kmsg.ACLOperation{configs}},
		"other configs":    {topic, cfg.QuarantineTopic, literal, []kmsg.ACLOperation{configs}},
		"state, configs":   {topic, cfg.StateTopic, literal, []kmsg.ACLOperation{configs}},
		"transactional id": {kmsg.ACLResourceTypeTransactionalId, cfg.StateTopic + "-", kmsg.ACLResourcePatternTypePrefixed, []kmsg.ACLOperation{write}},
		"group":            {kmsg.ACLResourceTypeGroup, cfg.Group, literal, []kmsg.ACLOperation{read}},
	}
}

// TestRights takes the documented rights away one at a time. With all of them everything works; without one the refusal
// says which.
func TestRights(t *testing.T) {
	t.Parallel()
	probe := config(t, []string{"127.0.0.1:1"})
	missing := []string{"nothing"}
	for name := range rights(probe) {
		missing = append(missing, name)
	}
	for _, without := range missing {
		t.Run("without "+without, func(t *testing.T) {
			t.Parallel()
			ctx := within(t, 30*time.Second)
			cfg := config(t, nil)
			var acls []kfake.ACL
			for name, r := range rights(cfg) {
				for _, operation := range r.operations {
					if name != without {
						acls = append(acls, kfake.ACL{Resource: r.resource, Name: r.name, Pattern: r.pattern, Operation: operation, Allow: true})
					}
				}
			}
			fake := kafkatest.Fake(t, "users of its own", kfake.EnableSASL(), kfake.EnableACLs(), kfake.User("PLAIN", "connector", "right", acls...))
			cfg.Brokers = fake.ListenAddrs()
			cfg.Mechanism, cfg.Username, cfg.Password = "PLAIN", "connector", "right"
			err := everything(ctx, cfg)
			if without == "nothing" {
				if err != nil {
					t.Errorf("with all rights: %v", err)
				}
				return
			}
			refusedFor(t, err, rights(cfg)[without].name, "grant")
		})
	}
}

// everything goes through all that the connector does.
func everything(ctx context.Context, cfg Config) error {
	c, err := New(cfg)
	if err != nil {
		return err
	}
	if _, err := c.Prepare(ctx); err != nil {
		return err
	}
	for _, err := range c.Assigned(ctx) {
		if err != nil {
			return err
		}
		break
	}
	s, err := c.Open(ctx, 0, ignore)
	if err != nil {
		return err
	}
	defer s.Close()
	return s.Commit(ctx, slices.Values([]Record{event(cfg, "corp/a@1"), state(cfg, "k", "v"), {Topic: cfg.QuarantineTopic, Key: "corp/x"}}))
}
