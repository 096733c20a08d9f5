package main

import (
	"syscall"
	"testing"

	"github.com/twmb/franz-go/pkg/kfake"

	"departures/connector/dingtalk/dingtalktest"
	"departures/connector/kafka/kafkatest"
)

// TestItWaitsForBrokers as long as it takes: alive and not ready, with the reason.
func TestItWaitsForBrokers(t *testing.T) {
	t.Parallel()
	for name, broker := range map[string]func(*testing.T) string{
		"that are not there": func(t *testing.T) string { return closedPort(t) },
		"that accept and never answer": func(t *testing.T) string {
			addr, _ := silentBroker(t)
			return addr
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, []string{broker(t)})
			p := r.start("run")
			p.isNotReady("Kafka cannot be used yet")
			p.signal(syscall.SIGTERM)
			p.ends(stopBound, exitClean)
			r.did(0, -1)
		})
	}
}

// TestItWaitsForBrokersThatCloseTheConnection is a wrong password where the broker does not say so, as kfake and some old ones.
func TestItWaitsForBrokersThatCloseTheConnection(t *testing.T) {
	t.Parallel()
	broker := kafkatest.Fake(t, "it has users of its own", kfake.EnableSASL(), kfake.Superuser("PLAIN", "user", "right"))
	r := newRig(t, broker.ListenAddrs())
	p := r.start("run", "KAFKA_SASL_MECHANISM=PLAIN", "KAFKA_SASL_USERNAME=user", "KAFKA_SASL_PASSWORD="+canaryPassword)
	p.isNotReady("Kafka cannot be used yet")
	p.says("Kafka cannot be used yet; waiting for it")
	p.signal(syscall.SIGTERM)
	p.ends(stopBound, exitClean)
	r.did(0, -1)
}

// TestItIsUsedWithTheRightPassword is the other half: the case above fails for the password alone.
func TestItIsUsedWithTheRightPassword(t *testing.T) {
	t.Parallel()
	broker := kafkatest.Fake(t, "it has users of its own", kfake.EnableSASL(), kfake.Superuser("PLAIN", "user", canaryPassword))
	r := newRig(t, broker.ListenAddrs())
	p := r.start("run", "KAFKA_SASL_MECHANISM=PLAIN", "KAFKA_SASL_USERNAME=user", "KAFKA_SASL_PASSWORD="+canaryPassword)
	p.isReady()
}

// TestItWaitsForAPersonAtDingTalk: what somebody has to mend there is said, and no restart is needed when it is done.
func TestItWaitsForAPersonAtDingTalk(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		change []string
		sim    func(*dingtalktest.Switches)
		says   []string
	}{
		{"wrong credentials", []string{"DINGTALK_APP_SECRET=wrong"}, func(*dingtalktest.Switches) {}, []string{"DINGTALK_APP_KEY", "DINGTALK_APP_SECRET"}},
		{"missing permission", nil, func(s *dingtalktest.Switches) { s.NoPermission = true }, []string{"Contact.Common.Read"}},
		{"not on the white list", nil, func(s *dingtalktest.Switches) { s.IPNotWhiteListed = true }, []string{"IP list"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, kafkatest.Brokers(t))
			r.leave(3, "left")
			r.sim.Set(c.sim)
			p := r.start("run", c.change...)
			p.isNotReady(append(c.says, "dingtest")...)
			r.did(r.dataCalls.Load(), 0)
			p.signal(syscall.SIGTERM)
			p.ends(stopBound, exitClean)
		})
	}
}

// TestItGoesOnWhenFrozenBrokersThaw loses nothing and needs no restart.
func TestItGoesOnWhenFrozenBrokersThaw(t *testing.T) {
	t.Parallel()
	broker := hostedBroker(t)
	r := newRig(t, []string{broker.at})
	p := r.start("run")
	p.isReady()
	broker.freeze()
	r.leave(3, "frozen")
	p.await("it has seen who left", func() bool { return len(r.sim.Shown()) > 0 })
	broker.thaw()
	r.settle(p)
	r.check()
}

// TestBrokersThatGoAwayMakeItNotReady: a connector that cannot reach Kafka any more is no standby.
func TestBrokersThatGoAwayMakeItNotReady(t *testing.T) {
	t.Parallel()
	broker := hostedBroker(t)
	r := newRig(t, []string{broker.at})
	p := r.start("run")
	p.isReady()
	_ = broker.cmd.Process.Kill()
	p.isNotReady("no part in the consumer group")
	p.isHealthy()
}
