package connector_test

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"departures/connector"
	"departures/connector/dingtalk/dingtalktest"
	"departures/connector/promisetest"
	"departures/schema"
)

// organisations makes the rig one of so many organisations, each with an empty company of its own.
func (r *rig) organisations(n int) []*dingtalktest.Server {
	hosts, first := byHost{}, r.cfg.Orgs[0]
	r.cfg.Orgs, r.calls = nil, hosts
	sims := make([]*dingtalktest.Server, n)
	for i := range sims {
		o := first
		o.CorpID = fmt.Sprintf("ding%d", i)
		o.DingTalk.CorpID, o.DingTalk.AppKey = o.CorpID, "key of "+o.CorpID
		o.AppKeyDigest = schema.Digest([]byte(o.DingTalk.AppKey))
		o.DingTalk.BaseURL = &url.URL{Scheme: "https", Host: o.CorpID + ".test"}
		sims[i] = dingtalktest.New(dingtalktest.Options{CorpID: o.CorpID, AppKey: o.DingTalk.AppKey, AppSecret: canarySecret})
		hosts[o.DingTalk.BaseURL.Host] = sims[i].Transport()
		r.cfg.Orgs = append(r.cfg.Orgs, o)
	}
	return sims
}

// inOnePartition makes the state topic one in which all organisations share a session.
func (r *rig) inOnePartition() {
	r.t.Helper()
	r.admin(func(adm *kadm.Client) error {
		_, err := adm.CreateTopic(context.Background(), 1, 1, map[string]*string{
			"cleanup.policy": kadm.StringPtr("compact"), "retention.ms": kadm.StringPtr("-1"),
		}, r.topics.State)
		return err
	})
}

// transactions is how many were committed in the state topic's one partition: each ends with a marker, which takes an offset.
func (r *rig) transactions() (n int64) {
	r.t.Helper()
	a, err := r.account()
	if err != nil {
		r.t.Fatal(err)
	}
	r.admin(func(adm *kadm.Client) error {
		ends, err := adm.ListEndOffsets(context.Background(), r.topics.State)
		ends.Each(func(o kadm.ListedOffset) { n += o.Offset })
		return err
	})
	return n - int64(len(a.State))
}

func TestOrganisationsOfAPartitionShareTheirHeartbeats(t *testing.T) {
	onSimulatedTime(t, func(t *testing.T, r *rig) {
		const organisations, settled, minutes = 40, 2 * time.Minute, 20
		r.inOnePartition()
		sims := r.organisations(organisations)
		i := r.start(nil)
		time.Sleep(settled)
		if n := r.transactions(); n > organisations+10 {
			t.Errorf("%d transactions in the first two minutes of %d organisations", n, organisations)
		}
		before := r.transactions()
		time.Sleep(minutes * time.Minute)
		if n := r.transactions() - before; n < minutes || n > minutes*5/4 {
			t.Errorf("%d transactions in %d minutes in which nobody left", n, minutes)
		}
		before = r.transactions()
		for n := range minutes { // somebody leaves one of them every minute
			sims[n%organisations].Leave(person(fmt.Sprint(n), time.Now()))
			time.Sleep(time.Minute)
		}
		if n := r.transactions() - before; n < minutes || n > minutes*5/2 {
			t.Errorf("%d transactions in %d minutes in which %d left", n, minutes, minutes)
		}
		r.stop(i)
		r.wholeOf(sims)
		r.beatsOf(organisations, settled)
	})
}

// wholeOf checks the promises, and that all who left each company are published.
func (r *rig) wholeOf(sims []*dingtalktest.Server) {
	r.t.Helper()
	a, err := r.account()
	if err != nil {
		r.t.Fatal(err)
	}
	for _, breach := range a.Check() {
		r.t.Error(breach)
	}
	of := byCompany(a.Events)
	for n, sim := range sims {
		corpID := r.cfg.Orgs[n].CorpID
		lost, twice, extra := (&promisetest.Account{Events: of[corpID]}).Count(corpID, promisetest.Owed(sim, r.cfg.Start.At(time.Now())))
		if len(lost)+len(twice)+len(extra) > 0 {
			r.t.Errorf("%s: lost %v, twice %v, not known to DingTalk %v", corpID, lost, twice, extra)
		}
	}
	r.nothingPrivateWasSaid()
}

// beatsOf checks that each of so many organisations committed a checkpoint at least once a minute, and that none went back.
func (r *rig) beatsOf(organisations int, settled time.Duration) {
	r.t.Helper()
	a, err := r.account()
	if err != nil {
		r.t.Fatal(err)
	}
	type beat struct {
		at   time.Time
		mark time.Time
	}
	last := map[string]beat{}
	var began time.Time
	for _, s := range a.State {
		if !strings.HasPrefix(string(s.Key), "checkpoint/") {
			continue
		}
		cp, err := schema.ParseCheckpoint(s.Value)
		if err != nil {
			r.t.Fatal(err)
		}
		if began.IsZero() {
			began = s.Timestamp
		}
		before := last[string(s.Key)]
		if cp.HighWaterMark.Before(before.mark) {
			r.t.Errorf("%s went back from %s to %s", s.Key, before.mark, cp.HighWaterMark)
		}
		if s.Timestamp.Sub(began) > settled && s.Timestamp.Sub(before.at) > time.Minute {
			r.t.Errorf("%s was not committed for %s", s.Key, s.Timestamp.Sub(before.at))
		}
		last[string(s.Key)] = beat{s.Timestamp, cp.HighWaterMark}
	}
	if len(last) != organisations {
		r.t.Errorf("%d organisations committed a checkpoint, want %d", len(last), organisations)
	}
}

// TestOrganisationsDelayNobodyElse has neighbours in one session whose DingTalk is slow, refuses, is dead, or shows what nobody can read.
func TestOrganisationsDelayNobodyElse(t *testing.T) {
	onSimulatedTime(t, func(t *testing.T, r *rig) {
		r.inOnePartition()
		sims := r.organisations(6)
		sims[0].Set(func(s *dingtalktest.Switches) { s.Latency = 4 * time.Second })
		sims[1].Fail(dingtalktest.SystemError, 1_000_000)
		sims[2].Fail(dingtalktest.TokenRefused, 1_000_000)
		sims[3].BlockIP(dingtalktest.IPBlockHTML403, time.Hour)
		sims[4].Leave(dingtalktest.Leaver{Raw: []byte(`{"userId":7}`)})
		i := r.start(nil)
		time.Sleep(time.Minute)
		for n := range 30 {
			at := time.Now()
			sims[5].Leave(person(fmt.Sprint(n), at))
			time.Sleep(12 * time.Second)
			a, err := r.account()
			if err != nil {
				t.Fatal(err)
			}
			if len(byCompany(a.Events)["ding5"]) != n+1 {
				t.Fatalf("not published within a poll interval: %d\n%s", n, r.log.tail())
			}
		}
		for n, ready := range []bool{true, false, false, false, true, true} {
			reasons := i.runner.Status().Ready(time.Now())
			said := slices.ContainsFunc(reasons, func(reason string) bool { return strings.HasPrefix(reason, fmt.Sprintf("ding%d: ", n)) })
			if said == ready {
				t.Errorf("ding%d ready is %v, want %v: %q", n, !said, ready, reasons)
			}
		}
		r.stop(i)
	})
}

func TestARefusedOrganisationStandsStillAlone(t *testing.T) {
	onSimulatedTime(t, func(t *testing.T, r *rig) {
		sims := r.organisations(3)
		start, orgs := r.cfg.Start, r.cfg.Orgs
		r.cfg.Orgs = orgs[:2]
		i := r.start(nil)
		time.Sleep(time.Minute)
		r.stop(i)

		r.cfg.Orgs, r.cfg.Start = orgs, connector.Start{} // the third has no checkpoint, and may not begin
		i = r.start(nil)
		time.Sleep(time.Minute)
		for _, sim := range sims[:2] {
			sim.Leave(person("today", time.Now()))
		}
		time.Sleep(time.Hour)
		s := i.runner.Status()
		if reasons := s.Ready(time.Now()); len(reasons) != 1 || !strings.HasPrefix(reasons[0], "ding2: ") || !strings.Contains(reasons[0], "START is not set") {
			t.Errorf("ready: %q", reasons)
		}
		if reasons := s.Healthy(time.Now()); len(reasons) > 0 {
			t.Errorf("healthy: %q", reasons)
		}
		if said := r.log.lines("level=ERROR"); len(said) != 1 || !strings.Contains(said[0], "ding2") {
			t.Errorf("said: %s", said)
		}
		r.stop(i)
		if n := len(sims[2].Calls()); n > 0 {
			t.Errorf("%d calls for an organisation that may not begin", n)
		}
		r.cfg.Start = start
		r.wholeOf(sims[:2])
	})
}

func TestWhereEveryOrganisationIsRefusedTheConnectorEnds(t *testing.T) {
	onSimulatedTime(t, func(t *testing.T, r *rig) {
		r.organisations(5)
		r.cfg.Start = connector.Start{}
		i := r.start(nil)
		select {
		case <-i.done:
		case <-time.After(time.Minute):
			t.Fatal("it goes on")
		}
		var refusal *connector.Refusal
		if !errors.As(i.err, &refusal) || !strings.Contains(i.err.Error(), "START is not set") {
			t.Errorf("ended with %v", i.err)
		}
	})
}
