package kafka

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"departures/connector/kafka/kafkatest"
)

// listener takes connections and does with each what the test says.
func listener(t *testing.T, each func(net.Conn)) (addr string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			each(conn)
			conn.Close()
		}
	}()
	t.Cleanup(func() { l.Close(); <-ended })
	return l.Addr().String()
}

// refusing is a broker that answers the two questions of a login with these codes; kfake would just hang up.
func refusing(handshake, authenticate *kerr.Error) func(*testing.T) []string {
	return func(t *testing.T) []string {
		fake := kafkatest.Fake(t, "an answer of its own", kfake.EnableSASL())
		fake.ControlKey(int16(kmsg.SASLHandshake), func(req kmsg.Request) (kmsg.Response, error, bool) {
			fake.KeepControl()
			resp := req.ResponseKind().(*kmsg.SASLHandshakeResponse)
			if handshake == nil {
				return nil, nil, false
			}
			resp.ErrorCode = handshake.Code
			return resp, nil, true
		})
		fake.ControlKey(int16(kmsg.SASLAuthenticate), func(req kmsg.Request) (kmsg.Response, error, bool) {
			fake.KeepControl()
			resp := req.ResponseKind().(*kmsg.SASLAuthenticateResponse)
			if authenticate == nil {
				return nil, nil, false
			}
			resp.ErrorCode = authenticate.Code
			return resp, nil, true
		})
		return fake.ListenAddrs()
	}
}

// alert is what Apache Kafka answers to plaintext on a TLS port: the beginning of a TLS alert.
var alert = []byte{21, 3, 3, 0, 2, 2, 80}

// answering is something that listens, reads a little, and answers so.
func answering(answer []byte) func(*testing.T) []string {
	return func(t *testing.T) []string {
		return []string{listener(t, func(conn net.Conn) {
			conn.SetReadDeadline(time.Now().Add(time.Second))
			_, _ = conn.Read(make([]byte, 1))
			_, _ = conn.Write(answer)
		})}
	}
}

// secured is a broker that speaks TLS.
func secured(with *tls.Config) func(*testing.T) []string {
	return func(t *testing.T) []string {
		return kafkatest.Fake(t, "a certificate of its own", kfake.TLS(with)).ListenAddrs()
	}
}

// TestBrokersThatCannotBeUsed: each reason is told apart, with the way out.
func TestBrokersThatCannotBeUsed(t *testing.T) {
	t.Parallel()
	server, client := certificates(t)
	mutual := server.Clone()
	mutual.ClientAuth = tls.RequireAnyClientCert
	expired := client.Clone()
	expired.Time = func() time.Time { return time.Now().Add(48 * time.Hour) }
	otherName := client.Clone()
	otherName.ServerName = "kafka.example.com"
	login := func(c *Config) { c.Mechanism, c.Username, c.Password = "PLAIN", "connector", "wrong-password" }
	trusting := func(by *tls.Config) func(*Config) { return func(c *Config) { c.TLS = by } }
	dialing := func(err error) func(*Config) {
		return func(c *Config) {
			c.Dial = func(ctx context.Context, _, _ string) (net.Conn, error) {
				if err == nil {
					<-ctx.Done()
				}
				return nil, cmp.Or(err, ctx.Err())
			}
		}
	}
	nowhere := func(*testing.T) []string { return []string{"127.0.0.1:1"} }
	unknown := &net.OpError{Op: "dial", Err: &net.DNSError{Err: "no such host", IsNotFound: true}}
	plaintext := func(t *testing.T) []string { return kafkatest.Brokers(t) }
	type row struct {
		brokers func(*testing.T) []string
		change  func(*Config)
		words   []string
	}
	for name, row := range map[string]row{
		"nobody listens":           {nowhere, nil, []string{"127.0.0.1:1 of KAFKA_BROKERS", "nobody listens there", "correct KAFKA_BROKERS"}},
		"a name that is not known": {nowhere, dialing(unknown), []string{"name is not known", "correct KAFKA_BROKERS"}},
		"nothing answers":          {nowhere, dialing(nil), []string{"nothing answers there within 5s", "correct KAFKA_BROKERS"}},
		"something else listens":   {answering([]byte("HTTP/1.1 400\r\n\r\n")), nil, []string{"no Kafka", "correct KAFKA_BROKERS"}},

		"plaintext to TLS, Apache Kafka":        {answering(alert), nil, []string{"speaks TLS", "KAFKA_TLS=true"}},
		"plaintext to TLS, kfake":               {secured(server), nil, []string{"hangs up at our first question", "KAFKA_TLS=true"}},
		"TLS to plaintext, it hangs up":         {answering(nil), trusting(client), []string{"does not speak TLS", "KAFKA_TLS=false"}},
		"TLS to plaintext, whatever it does":    {plaintext, trusting(client), []string{"does not speak TLS", "KAFKA_TLS=false"}},
		"a certificate that nobody vouches for": {secured(server), trusting(&tls.Config{RootCAs: x509.NewCertPool()}), []string{"KAFKA_TLS_CA_FILE"}},
		"a certificate for another name":        {secured(server), trusting(otherName), []string{"for another name", "correct KAFKA_BROKERS"}},
		"a certificate that has expired":        {secured(server), trusting(expired), []string{"not valid", "clock"}},
		"a broker that wants our certificate":   {secured(mutual), trusting(client), []string{"KAFKA_TLS_CERT_FILE", "KAFKA_TLS_KEY_FILE"}},

		"a login where none is wanted":      {refusing(kerr.IllegalSaslState, nil), login, []string{"asks for no credentials", "KAFKA_SASL_MECHANISM"}},
		"a mechanism that it does not take": {refusing(kerr.UnsupportedSaslMechanism, nil), login, []string{"does not take", "KAFKA_SASL_MECHANISM"}},
		"a password that it refuses":        {refusing(nil, kerr.SaslAuthenticationFailed), login, []string{"KAFKA_SASL_USERNAME", "KAFKA_SASL_PASSWORD"}},
		"a password that it hangs up over":  {refusing(nil, nil), login, []string{"hangs up while we log in", "KAFKA_SASL_PASSWORD"}},
		"no login where one is wanted":      {refusing(nil, nil), nil, []string{"hangs up at our first question", "KAFKA_SASL_MECHANISM"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx := within(t, 30*time.Second)
			cfg := config(t, row.brokers(t))
			if row.change != nil {
				row.change(&cfg)
			}
			all := inspected(t, ctx, cfg)
			finds(t, all, "brokers", Fault, row.words...)
			if len(all) != 1 || strings.Contains(all[0].Text, "wrong-password") {
				t.Errorf("got\n%s", lines(all))
			}
		})
	}
}

// TestOneOfTwoConfiguredBrokersIsAbsent: the connector works, and the rest is looked at.
func TestOneOfTwoConfiguredBrokersIsAbsent(t *testing.T) {
	t.Parallel()
	ctx := within(t, 30*time.Second)
	cfg := config(t, append([]string{"127.0.0.1:1"}, kafkatest.Brokers(t)...))
	all := inspected(t, ctx, cfg)
	noFaults(t, all)
	finds(t, all, "brokers", Warning, "127.0.0.1:1", "while others answer", "nobody listens", "KAFKA_BROKERS")
	finds(t, all, "topic "+cfg.StateTopic, Fine)
	if _, err := preparedBy(t, ctx, cfg); err != nil {
		t.Error(err)
	}
}

// TestAdvertisedBrokerThatCannotBeReached: a client that reached the first broker would hang at the next.
func TestAdvertisedBrokerThatCannotBeReached(t *testing.T) {
	t.Parallel()
	ctx := within(t, 30*time.Second)
	fake := kafkatest.Fake(t, "an answer of its own")
	cfg := config(t, fake.ListenAddrs())
	known, err := admin(t, cfg).BrokerMetadata(ctx)
	if err != nil {
		t.Fatal(err)
	}
	fake.ControlKey(int16(kmsg.Metadata), func(req kmsg.Request) (kmsg.Response, error, bool) {
		fake.KeepControl()
		if len(req.(*kmsg.MetadataRequest).Topics) > 0 {
			return nil, nil, false
		}
		resp := req.ResponseKind().(*kmsg.MetadataResponse)
		resp.ControllerID = -1
		first := known.Brokers[0]
		resp.Brokers = []kmsg.MetadataResponseBroker{
			{NodeID: first.NodeID, Host: first.Host, Port: first.Port}, {NodeID: 7, Host: "127.0.0.1", Port: 1},
		}
		return resp, nil, true
	})
	all := inspected(t, ctx, cfg)
	finds(t, all, "brokers", Fault, "127.0.0.1:1", "nobody listens", "advertised.listeners")
	finds(t, all, "brokers", Fault, "no controller")
	if len(of(Fine, all)) == 0 || slices.ContainsFunc(of(Fine, all), func(s string) bool { return strings.Contains(s, "brokers:") }) {
		t.Errorf("the rest was not looked at, or the brokers are said to be fine:\n%s", lines(all))
	}
}

func TestEveryBrokerOfAClusterIsAsked(t *testing.T) {
	t.Parallel()
	ctx := within(t, 30*time.Second)
	addrs := kafkatest.Fake(t, "three brokers", kfake.NumBrokers(3)).ListenAddrs()
	cfg := config(t, addrs[:1])
	finds(t, inspected(t, ctx, cfg), "brokers", Fine, "3 in the cluster, all reached", "controller")

	other := kafkatest.Fake(t, "a cluster of its own", kfake.ClusterID("another")).ListenAddrs()
	cfg.Brokers = append(addrs[:1:1], other...)
	finds(t, inspected(t, ctx, cfg), "brokers", Fault, other[0], "different clusters", "KAFKA_BROKERS")
}
