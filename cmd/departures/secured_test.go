package main

import (
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"departures/connector/kafka/kafkatest"
)

// onSecured skips a test that needs brokers with TLS, a login and rights.
func onSecured(t *testing.T) {
	t.Helper()
	if !kafkatest.IsSecured() {
		t.Skipf("only on the broker of .ci/kafka/secure, which %s names: kfake has rights of its own", kafkatest.SecuredEnv)
	}
}

// restricted is a rig whose program may do nothing but what the test grants.
func restricted(t *testing.T) *rig {
	t.Helper()
	r := newRig(t, kafkatest.Brokers(t))
	r.granted[r.names()] = true
	return r
}

// names are what the rights of the rig's program are about.
func (r *rig) names() kafkatest.Names {
	return kafkatest.Names{Events: r.topics.Events, Quarantine: r.topics.Quarantine, State: r.topics.State, Group: r.env["GROUP"]}
}

// rights are the documented ones, those to create topics last.
func (r *rig) rights() (toUse, toCreate []kafkatest.Right) {
	all := kafkatest.Rights(r.names())
	return all[:len(all)-3], all[len(all)-3:]
}

// createTopics makes the three topics as the README tells an administrator to.
func (r *rig) createTopics() {
	r.t.Helper()
	r.createTopic(r.topics.Events, 12, map[string]string{"retention.ms": "-1"})
	r.createTopic(r.topics.Quarantine, 1, map[string]string{"retention.ms": "-1"})
	r.createTopic(r.topics.State, 12, map[string]string{"retention.ms": "-1", "cleanup.policy": "compact"})
}

// TestTheDocumentedRightsSuffice for a whole life: checks, a first run, a restart, a hand-over, ten kills, and `departures state init`.
func TestTheDocumentedRightsSuffice(t *testing.T) {
	onSecured(t)
	t.Parallel()
	t.Run("of a connector that creates its topics", func(t *testing.T) {
		t.Parallel()
		r := restricted(t)
		toUse, toCreate := r.rights()
		r.secured.Grant(t, append(toUse, toCreate...)...)
		r.livesAWholeLife()
	})
	t.Run("of a connector whose topics an administrator made", func(t *testing.T) {
		t.Parallel()
		r := restricted(t)
		r.env["CREATE_TOPICS"] = "false"
		r.createTopics()
		toUse, _ := r.rights()
		r.secured.Grant(t, toUse...)
		r.livesAWholeLife()
	})
}

func (r *rig) livesAWholeLife() {
	r.t.Helper()
	r.env["KAFKA_INSTANCE_ID"] = "pod-0"
	r.finds(exitClean, "no fault")
	first := r.start("run")
	r.leave(3, "first")
	r.settle(first)
	first.signal(syscall.SIGTERM)
	first.ends(stopBound, exitClean)

	owner := r.start("run")
	owner.isReady()
	standby := r.start("run", "KAFKA_INSTANCE_ID=pod-1")
	standby.isReady()
	owner.signal(syscall.SIGTERM)
	owner.ends(stopBound, exitClean)
	r.leave(3, "handed-over")
	r.settle(standby)
	standby.signal(syscall.SIGTERM)
	standby.ends(stopBound, exitClean)

	last := r.diesTenTimes()
	r.settle(last)
	r.finds(exitClean, "no fault")
	last.signal(syscall.SIGTERM)
	last.ends(stopBound, exitClean)
	r.start("state init").ends(patience, exitClean)
	last = r.start("run")
	r.leave(3, "last")
	r.settle(last)
	r.check()
}

// diesTenTimes is killed at random moments while people leave; the last one lives.
func (r *rig) diesTenTimes() *process {
	r.t.Helper()
	seed := *seedFlag
	if seed == 0 {
		seed = rand.Uint64()
	}
	defer func() {
		if r.t.Failed() {
			r.t.Logf("again with -seed %d", seed)
		}
	}()
	draw := rand.New(rand.NewPCG(seed, 0))
	stopLeaving := r.peopleLeave(50 * time.Millisecond)
	defer stopLeaving()
	for range 10 {
		victim := r.start("run")
		r.atAnyMoment(draw, victim)
		victim.kill()
	}
	return r.start("run")
}

// finds runs a check and wants a text in its report.
func (r *rig) finds(code int, texts ...string) {
	r.t.Helper()
	p := r.start("check")
	p.ends(patience, code)
	if !containsAll(squeezed(p.stdout.String()), texts) {
		r.t.Errorf("the report lacks one of %q\n%s", texts, p.tail())
	}
}

// names says whether a text tells an administrator to grant a right, alone or among others.
func names(text string, right kafkatest.Right) bool {
	operation, _, _ := strings.Cut(right.String(), " on ")
	return regexp.MustCompile(`grant [^;]*\b` + operation + `\b[^;]* ` + regexp.QuoteMeta(right.Name)).MatchString(squeezed(text))
}

// TestEveryMissingRightIsNamed, by a check and by a run: each of the documented rights is missing once, and is then granted.
func TestEveryMissingRightIsNamed(t *testing.T) {
	onSecured(t)
	t.Parallel()
	for n, right := range kafkatest.Rights(kafkatest.Names{Events: "events", Quarantine: "quarantine", State: "state", Group: "group"}) {
		t.Run(right.String(), func(t *testing.T) {
			t.Parallel()
			r := restricted(t)
			r.misses(kafkatest.Rights(r.names()), n)
		})
		if right.Operation == kmsg.ACLOperationCreate {
			continue
		}
		t.Run(right.String()+", on topics that are there", func(t *testing.T) {
			t.Parallel()
			r := restricted(t)
			r.env["CREATE_TOPICS"] = "false"
			r.createTopics()
			toUse, _ := r.rights()
			r.misses(toUse, n)
		})
	}
	t.Run("Read on Group group, which may be described", func(t *testing.T) {
		t.Parallel()
		r := restricted(t)
		needed := kafkatest.Rights(r.names())
		n := slices.IndexFunc(needed, func(right kafkatest.Right) bool { return right.Resource == kmsg.ACLResourceTypeGroup })
		described := needed[n]
		described.Operation = kmsg.ACLOperationDescribe
		r.secured.Grant(t, described)
		r.misses(needed, n)
	})
}

// misses lacks the nth of the rights that the program needs, and is then given it.
func (r *rig) misses(needed []kafkatest.Right, n int) {
	r.t.Helper()
	missing := needed[n]
	r.secured.Grant(r.t, slices.Delete(slices.Clone(needed), n, n+1)...)
	r.leave(3, "left")
	checked := r.start("check")
	checked.ends(patience, exitFault)
	if !names(checked.stdout.String(), missing) || !checked.stdout.contains("1 fault,") {
		r.t.Errorf("the report does not name %v, and nothing else\n%s", missing, checked.tail())
	}
	calls := r.dataCalls.Load()
	refused := r.start("run")
	refused.ends(refuseBound, exitFault)
	if !names(refused.stderr.String(), missing) {
		r.t.Errorf("stderr does not name %v\n%s", missing, refused.tail())
	}
	r.did(calls, 0)
	r.secured.Grant(r.t, missing)
	r.settle(r.start("run"))
	r.check()
}

// TestARightTakenAwayWhileItRuns ends the program as soon as it needs the right, and it names it; nothing is lost or twice when the right
// is given back.
func TestARightTakenAwayWhileItRuns(t *testing.T) {
	onSecured(t)
	t.Parallel()
	needed := []string{"Write on Topic events", "Write on Topic state", "Write on TransactionalId with the prefix state-", "Read on Group group"}
	var spare []int
	for n, right := range kafkatest.Rights(kafkatest.Names{Events: "events", Quarantine: "quarantine", State: "state", Group: "group"}) {
		if !slices.Contains(needed, right.String()) {
			spare = append(spare, n)
			continue
		}
		t.Run(right.String(), func(t *testing.T) {
			t.Parallel()
			r, p := publishing(t)
			taken := kafkatest.Rights(r.names())[n]
			r.secured.Revoke(t, taken)
			r.leave(3, "meanwhile")
			p.ends(refuseBound, exitFault)
			if !names(p.stderr.String(), taken) {
				t.Errorf("stderr does not name %v\n%s", taken, p.tail())
			}
			r.secured.Grant(t, taken)
			next := r.start("run")
			r.leave(3, "after")
			r.settle(next)
			r.check()
		})
	}
	t.Run("all others, which it does not need just now", func(t *testing.T) {
		t.Parallel()
		r, p := publishing(t)
		for _, n := range spare {
			r.secured.Revoke(t, kafkatest.Rights(r.names())[n])
		}
		r.leave(3, "meanwhile")
		r.settle(p)
		r.check()
	})
}

// publishing is a program that may do what it needs, and works.
func publishing(t *testing.T) (*rig, *process) {
	t.Helper()
	r := restricted(t)
	r.env["KAFKA_INSTANCE_ID"] = "pod-0" // who may not use the group any more cannot leave it either
	r.secured.Grant(t, kafkatest.Rights(r.names())...)
	p := r.start("run")
	r.leave(3, "before")
	r.settle(p)
	return r, p
}
