package main

import (
	"net/http"
	"slices"
	"syscall"
	"testing"
	"time"

	"departures/connector/kafka/kafkatest"
)

func TestAHealthyRunIsHealthyAndReadyAndPublishes(t *testing.T) {
	t.Parallel()
	r := newRig(t, kafkatest.Brokers(t))
	r.leave(60, "before")
	p := r.start("run")
	p.isReady()
	p.isHealthy()
	r.leave(5, "during")
	r.settle(p)
	r.check()
}

func TestAStandbyIsReadyAndTakesOverAtOnce(t *testing.T) {
	t.Parallel()
	r := newRig(t, kafkatest.Brokers(t))
	owner, standby := ownerAndStandby(t, r)
	standby.isReady()
	standby.isHealthy()
	owner.isReady()
	r.leave(3, "before")
	r.settle(owner)

	owner.signal(syscall.SIGTERM)
	owner.ends(stopBound, exitClean)
	ended := time.Now()
	r.isAskedBy(standby)
	if took := time.Since(ended); took > 12*time.Second { // of a session timeout of 15 s
		t.Errorf("the standby took %v to take over from an instance that stopped cleanly", took)
	}
	r.leave(3, "after")
	r.settle(standby)
	r.check()
}

func (p *process) isHealthy() {
	p.t.Helper()
	if status, body := p.get("/healthz"); status != http.StatusOK {
		p.t.Errorf("/healthz is %d: %s", status, body)
	}
}

// ownerAndStandby starts two instances and waits until one of them owns the organisation's partition and the other does not.
func ownerAndStandby(t *testing.T, r *rig) (owner, standby *process) {
	t.Helper()
	a := r.start("run")
	a.isReady()
	partition := a.lines("session open")[0]["partition"].(float64)
	b := r.start("run")
	b.await("the group has shared out the partitions", func() bool {
		inA, inB := a.owns(partition), b.owns(partition)
		owner, standby = a, b
		if inB {
			owner, standby = b, a
		}
		return len(b.assigned()) > 0 && inA != inB
	})
	return owner, standby
}

// assigned are the state partitions that the process was given last.
func (p *process) assigned() []any {
	lines := p.lines("assigned")
	if len(lines) == 0 {
		return nil
	}
	return lines[len(lines)-1]["partitions"].([]any)
}

func (p *process) owns(partition float64) bool { return slices.Contains(p.assigned(), any(partition)) }
