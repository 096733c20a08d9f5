package main

import (
	"net"
	"syscall"
	"testing"

	"github.com/twmb/franz-go/pkg/kfake"

	"departures/connector/kafka/kafkatest"
)

// TestALoginThatFailsIsExplained, by a check and by a run, which ends where Kafka says that the credentials are wrong, and waits where a
// broker might be mended, or another one come.
func TestALoginThatFailsIsExplained(t *testing.T) {
	onSecured(t)
	t.Parallel()
	for _, c := range []struct {
		name    string
		changes func(r *rig) []string
		says    []string
		waits   bool
	}{
		{
			"a wrong password", func(*rig) []string {
				return []string{"KAFKA_SASL_PASSWORD_FILE=", "KAFKA_SASL_PASSWORD=" + canaryPassword}
			},
			[]string{"refuses the credentials", "KAFKA_SASL_USERNAME, KAFKA_SASL_PASSWORD"},
			false,
		},
		{
			"an unknown user", func(*rig) []string { return []string{"KAFKA_SASL_USERNAME=nobody"} },
			[]string{"refuses the credentials", "KAFKA_SASL_USERNAME, KAFKA_SASL_PASSWORD"},
			false,
		},
		{
			"another mechanism", func(*rig) []string { return []string{"KAFKA_SASL_MECHANISM=PLAIN"} },
			[]string{"does not take this SASL mechanism", "correct KAFKA_SASL_MECHANISM"},
			false,
		},
		{
			"no login", func(*rig) []string {
				return []string{"KAFKA_SASL_MECHANISM=", "KAFKA_SASL_USERNAME=", "KAFKA_SASL_PASSWORD_FILE="}
			},
			[]string{"hangs up at our first question", "set KAFKA_SASL_MECHANISM"},
			true,
		},
		{
			"a login where none is wanted", func(r *rig) []string {
				return []string{"KAFKA_BROKERS=" + r.brokers[0], "KAFKA_TLS=", "KAFKA_TLS_CA_FILE="}
			},
			[]string{"asks for no credentials on this port", "leave KAFKA_SASL_MECHANISM empty"},
			false,
		},
		{
			"certificates that nobody vouches for", func(r *rig) []string { return []string{"KAFKA_TLS_CA_FILE=" + r.secured.StrangerCA} },
			[]string{"nobody whom this host trusts has signed its certificate", "set KAFKA_TLS_CA_FILE"},
			true,
		},
		{
			"a certificate that has expired", func(r *rig) []string { return []string{"KAFKA_BROKERS=" + r.secured.Expired} },
			[]string{"its certificate is not valid", "renew it"},
			true,
		},
		{
			"a certificate for another name", func(r *rig) []string { return []string{"KAFKA_BROKERS=" + onLocalhost(r.secured.Brokers[0])} },
			[]string{"its certificate is for another name", "correct KAFKA_BROKERS"},
			true,
		},
		{
			"no TLS where it is wanted", func(*rig) []string { return []string{"KAFKA_TLS=", "KAFKA_TLS_CA_FILE="} },
			[]string{"it speaks TLS there", "set KAFKA_TLS=true"},
			true,
		},
		{
			"TLS where none is spoken", func(r *rig) []string { return []string{"KAFKA_BROKERS=" + r.brokers[0]} },
			[]string{"it does not speak TLS there", "set KAFKA_TLS=false"},
			true,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, kafkatest.Brokers(t))
			changes := c.changes(r)
			checked := r.start("check", changes...)
			checked.ends(patience, exitFault)
			if !containsAll(squeezed(checked.stdout.String()), c.says) || !checked.stdout.contains("1 fault,") {
				t.Errorf("the report lacks one of %q, or has another fault\n%s", c.says, checked.tail())
			}
			calls := r.dataCalls.Load()
			p := r.start("run", changes...)
			if c.waits {
				p.isNotReady(append(c.says, "Kafka cannot be used yet")...)
				p.signal(syscall.SIGTERM)
				p.ends(stopBound, exitClean)
			} else {
				p.ends(refuseBound, exitFault)
			}
			if !containsAll(p.stderr.String(), c.says) {
				t.Errorf("stderr lacks one of %q\n%s", c.says, p.tail())
			}
			r.did(calls, -1)
		})
	}
}

// TestBrokersThatCannotBeUsedAreExplained by a run that waits for them.
func TestBrokersThatCannotBeUsedAreExplained(t *testing.T) {
	t.Parallel()
	t.Run("nobody listens", func(t *testing.T) {
		t.Parallel()
		addr := closedPort(t)
		p := newRig(t, []string{addr}).start("run")
		p.isNotReady(addr+" of KAFKA_BROKERS: nobody listens there", "correct KAFKA_BROKERS")
	})
	t.Run("they hang up over a login", func(t *testing.T) {
		t.Parallel()
		broker := kafkatest.Fake(t, "others answer", kfake.EnableSASL(), kfake.Superuser("PLAIN", "user", "right"))
		r := newRig(t, broker.ListenAddrs())
		p := r.start("run", "KAFKA_SASL_MECHANISM=PLAIN", "KAFKA_SASL_USERNAME=user", "KAFKA_SASL_PASSWORD="+canaryPassword)
		p.isNotReady("it hangs up while we log in", "correct KAFKA_SASL_USERNAME, KAFKA_SASL_PASSWORD")
	})
}

// onLocalhost is the same address under a name that no certificate is for.
func onLocalhost(addr string) string {
	_, port, _ := net.SplitHostPort(addr)
	return net.JoinHostPort("localhost", port)
}
