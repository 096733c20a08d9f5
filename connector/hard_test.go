package connector_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"departures/connector"
	"departures/connector/dingtalk/dingtalktest"
	"departures/schema"
)

// lost is whether the person's departure is not on the events topic.
func (r *rig) lost(who string, at time.Time) bool {
	r.t.Helper()
	lost, _, _ := count(r, departure(who, at))
	return len(lost) > 0
}

// admin asks Kafka for something.
func (r *rig) admin(ask func(*kadm.Client) error) {
	r.t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(r.brokers...), kgo.Dialer(r.dial))
	if err != nil {
		r.t.Fatal(err)
	}
	defer cl.Close()
	if err := ask(kadm.NewClient(cl)); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) create(topic string, configs map[string]string) {
	r.t.Helper()
	r.admin(func(adm *kadm.Client) error {
		with := map[string]*string{"retention.ms": kadm.StringPtr("-1")}
		for k, v := range configs {
			with[k] = &v
		}
		_, err := adm.CreateTopic(context.Background(), 12, 1, with, topic)
		return err
	})
}

func TestATokenCallThatIsRefusedIsNoGap(t *testing.T) {
	onSimulatedTime(t, func(t *testing.T, r *rig) {
		// Old enough to be refused as too old, and yet within what DingTalk shows.
		r.cfg.Start = connector.StartAt(time.Now().Add(-364*24*time.Hour - 12*time.Hour))
		r.cfg.Orgs[0].DingTalk.EndTime = false
		r.sim.Leave(person("old", time.Now().Add(-364*24*time.Hour-11*time.Hour)))
		r.sim.Fail(dingtalktest.TokenRefused, 4) // so that the calls for a token come between the calls for the window
		i := r.start(nil)
		r.wait("the first window", func() bool { return r.pages() > 0 })
		r.sim.Fail(dingtalktest.ParameterRefused.Against(dingtalktest.TokenCalls), 5)
		time.Sleep(10 * time.Minute)
		r.stop(i)
		if gaps := r.checkpoint().Gaps; len(gaps) > 0 {
			t.Errorf("gaps are %+v", gaps)
		}
		r.check()
	})
}

func TestAHostWhoseClockIsAhead(t *testing.T) {
	for name, refused := range map[string]bool{"DingTalk refuses an end in the future": true, "DingTalk takes an end in the future": false} {
		t.Run(name, func(t *testing.T) {
			onSimulatedTime(t, func(t *testing.T, r *rig) {
				const ahead = 72 * time.Hour
				r.sim.Set(func(s *dingtalktest.Switches) { s.Skew, s.RefuseFutureEndTime = -ahead, refused })
				r.cfg.Start = connector.StartAt(time.Now().Add(-100 * time.Hour))
				r.cfg.ReconcileInterval = 0
				i := r.start(nil)
				time.Sleep(5 * time.Minute)
				if mark := r.checkpoint().HighWaterMark; mark.After(time.Now().Add(-ahead)) {
					t.Errorf("the mark %s is beyond DingTalk's now", mark)
				}
				at := time.Now().Add(-ahead)
				r.sim.Leave(person("during", at))
				time.Sleep(time.Minute)
				if r.lost("during", at) {
					t.Error("not published a minute later")
				}
				if notes := strings.Join(i.runner.Status().Notes(), "\n"); !strings.Contains(notes, "clock is 72h0m0s behind") {
					t.Errorf("notes are %q", notes)
				}
				r.stop(i)
			})
		})
	}
}

func TestHistoryThatCannotBeReadDoesNotKeepTodaysLeaversWaiting(t *testing.T) {
	olderThan := func(age time.Duration) dingtalktest.Fault {
		f := dingtalktest.SystemError
		f.When = func(c dingtalktest.Call) bool {
			start, err := time.Parse(time.RFC3339, c.Param("startTime"))
			return err == nil && time.Since(start) > age
		}
		return f
	}
	for name, begin := range map[string]func(r *rig){
		"while it catches up": func(r *rig) { r.sim.Fail(olderThan(48*time.Hour), 1_000_000) },
		"while it reconciles": func(r *rig) {
			i := r.start(nil)
			time.Sleep(2 * time.Minute)
			r.stop(i)
			r.sim.Fail(olderThan(48*time.Hour), 1_000_000)
			time.Sleep(2 * time.Hour)
		},
	} {
		t.Run(name, func(t *testing.T) {
			onSimulatedTime(t, func(t *testing.T, r *rig) {
				r.cfg.Start = connector.StartAt(time.Now().Add(-60 * 24 * time.Hour))
				begin(r)
				i := r.start(nil)
				time.Sleep(10 * time.Minute)
				for n := range 5 {
					at, who := time.Now(), fmt.Sprintf("today-%d", n)
					r.sim.Leave(person(who, at))
					time.Sleep(time.Minute)
					if r.lost(who, at) {
						t.Errorf("%s is not published a minute later\n%s", who, r.log.tail())
					}
				}
				time.Sleep(2 * time.Hour)
				if notes := strings.Join(i.runner.Status().Notes(), "\n"); !strings.Contains(notes, "cannot be had since") {
					t.Errorf("notes are %q", notes)
				}
				if n := r.log.count("level=WARN"); n > 20 {
					t.Errorf("%d warnings in two hours\n%s", n, r.log.tail())
				}
				r.sim.Heal()
				time.Sleep(10 * time.Minute)
				if notes := i.runner.Status().Notes(); len(notes) > 0 {
					t.Errorf("notes are %q", notes)
				}
				r.stop(i)
				r.check()
			})
		})
	}
}

// TestATotalOutageIsNoStuckWindow: where nothing can be had, nobody is told that others are walked meanwhile, but what the trouble is.
func TestATotalOutageIsNoStuckWindow(t *testing.T) {
	for name, days := range map[string]time.Duration{"while it catches up": 60, "while it is up to date": 1} {
		t.Run(name, func(t *testing.T) {
			onSimulatedTime(t, func(t *testing.T, r *rig) {
				r.latency(time.Second)
				start := r.since(days * day)
				r.crowd("p-", start.Add(time.Second), time.Now(), 5000)
				i := r.start(nil)
				time.Sleep(15 * time.Second)
				r.sim.Fail(dingtalktest.SystemError, 1_000_000)
				time.Sleep(3 * time.Hour)
				if said := r.log.lines("cannot be had"); len(said) > 0 {
					t.Errorf("said of a total outage: %s", said)
				}
				if n := len(r.log.lines("level=WARN msg=\"DingTalk")); n < 15 || n > 20 {
					t.Errorf("%d warnings in three hours, want one in ten minutes\n%s", n, r.log.tail())
				}
				r.sim.Heal()
				time.Sleep(15 * time.Minute)
				if notes := i.runner.Status().Notes(); len(notes) > 0 {
					t.Errorf("notes are %q", notes)
				}
				r.stop(i)
				r.complete()
			})
		})
	}
}

func TestADepartureThatIsTooLargeForATopicIsQuarantined(t *testing.T) {
	for name, topic := range map[string]func(*rig) string{
		"the ledger entry for the state topic": func(r *rig) string { return r.topics.State },
		"the event for the events topic":       func(r *rig) string { return r.topics.Events },
	} {
		t.Run(name, func(t *testing.T) {
			onSimulatedTime(t, func(t *testing.T, r *rig) {
				configs := map[string]string{"max.message.bytes": "4096"}
				if topic(r) == r.topics.State {
					configs["cleanup.policy"] = "compact"
				}
				r.create(topic(r), configs)
				r.sim.Leave(person(strings.Repeat("u", 5000), time.Now()))
				at := time.Now()
				r.sim.Leave(person("other", at))
				i := r.start(nil)
				time.Sleep(time.Minute)
				r.stop(i)
				if r.lost("other", at) {
					t.Error("the other departure is not published")
				}
				r.wellKept(1, 1)
				if n := r.log.count("session open"); n != 1 {
					t.Errorf("%d sessions", n)
				}
			})
		})
	}
}

// wellKept checks the account, and how many events and quarantined records there are.
func (r *rig) wellKept(events, quarantined int) {
	r.t.Helper()
	a, err := r.account()
	if err != nil {
		r.t.Fatal(err)
	}
	if len(a.Events) != events || len(a.Quarantined) != quarantined {
		r.t.Errorf("%d events and %d quarantined, want %d and %d", len(a.Events), len(a.Quarantined), events, quarantined)
	}
	for _, breach := range a.Check() {
		r.t.Error(breach)
	}
}

func TestALimitThatIsLoweredWhileItRuns(t *testing.T) {
	onSimulatedTime(t, func(t *testing.T, r *rig) {
		i := r.start(nil)
		time.Sleep(time.Minute)
		r.admin(func(adm *kadm.Client) error {
			_, err := adm.AlterTopicConfigs(context.Background(), []kadm.AlterConfig{{Op: kadm.SetConfig, Name: "max.message.bytes", Value: kadm.StringPtr("5000")}}, r.topics.Events)
			return err
		})
		var name strings.Builder // that gzip makes nothing of
		for k := range 8000 {
			name.WriteRune(rune(0x4e00 + k*7919%20000))
		}
		big := person("big", time.Now())
		*big.Name = name.String()
		r.sim.Leave(big)
		at := time.Now()
		r.sim.Leave(person("other", at))
		time.Sleep(2 * time.Minute)
		r.stop(i)
		if r.lost("other", at) {
			t.Errorf("the other departure is not published\n%s", r.log.tail())
		}
		r.wellKept(1, 1)
	})
}

func TestADepartureThatGrowsTooLargeAfterItWasPublished(t *testing.T) {
	onSimulatedTime(t, func(t *testing.T, r *rig) {
		r.create(r.topics.Events, map[string]string{"max.message.bytes": "4096"})
		at := time.Now()
		r.sim.Leave(person("p", at))
		i := r.start(nil)
		time.Sleep(time.Minute)
		r.sim.Edit(canaryUser+"p", at, func(l *dingtalktest.Leaver) { *l.Name = strings.Repeat("x", 5000) })
		time.Sleep(time.Minute)
		r.stop(i)
		r.wellKept(1, 0)
	})
}

// hanging is a DingTalk that never answers.
type hanging struct{}

func (hanging) RoundTrip(r *http.Request) (*http.Response, error) {
	<-r.Context().Done()
	return nil, r.Context().Err()
}

func TestTheCheckpointIsCommittedEveryMinute(t *testing.T) {
	for name, run := range map[string]func(r *rig){
		"while DingTalk hangs": func(r *rig) {
			r.cfg.Orgs[0].DingTalk.Timeout = 30 * time.Second
			r.sim.Fail(dingtalktest.Hanging.Against(dingtalktest.AllCalls), 1_000_000)
			i := r.start(nil)
			time.Sleep(time.Hour)
			r.stop(i)
		},
		"while calls may take five minutes": func(r *rig) {
			r.cfg.Orgs[0].DingTalk.Timeout = 5 * time.Minute
			i := r.start(nil)
			time.Sleep(time.Minute)
			r.sim.Fail(dingtalktest.Hanging, 1_000_000)
			time.Sleep(time.Hour)
			r.stop(i)
		},
		"while the rate lets few calls through": func(r *rig) {
			r.cfg.Orgs[0].DingTalk.Rate = 0.004
			i := r.start(nil)
			for range 360 {
				time.Sleep(10 * time.Second)
				if reasons := i.runner.Status().Healthy(time.Now()); len(reasons) > 0 {
					r.t.Fatalf("not healthy: %v", reasons)
				}
			}
			r.stop(i)
		},
		"while a bulk of 6,000 is read at the ordinary rate": func(r *rig) {
			r.cfg.Orgs[0].DingTalk.Rate = 1
			for k := range 6000 {
				r.sim.Leave(person(fmt.Sprintf("bulk%d", k), time.Now().Add(-time.Minute)))
			}
			i := r.start(nil)
			time.Sleep(10 * time.Minute)
			r.stop(i)
		},
		"over restarts while DingTalk hangs": func(r *rig) {
			r.sim.Fail(dingtalktest.Hanging.Against(dingtalktest.AllCalls), 1_000_000)
			for range 5 {
				i := r.start(nil)
				time.Sleep(45 * time.Second)
				r.stop(i)
			}
		},
		"over restarts every second": func(r *rig) {
			for range 60 {
				i := r.start(nil)
				time.Sleep(1500 * time.Millisecond)
				r.stop(i)
			}
			if behind := time.Since(r.checkpoint().HighWaterMark); behind > 10*time.Second {
				r.t.Errorf("the mark is %s behind", behind)
			}
		},
		"over restarts before the next one was due": func(r *rig) {
			for range 5 {
				i := r.start(nil)
				time.Sleep(48 * time.Second)
				r.stop(i)
			}
			if behind := time.Since(r.checkpoint().HighWaterMark); behind > time.Minute {
				r.t.Errorf("the mark is %s behind", behind)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			onSimulatedTime(t, func(t *testing.T, r *rig) {
				run(r)
				r.checkpointsAMinute()
			})
		})
	}
}

// checkpointsAMinute checks that no two checkpoints in Kafka lie more than a minute apart.
func (r *rig) checkpointsAMinute() {
	r.t.Helper()
	a, err := r.account()
	if err != nil {
		r.t.Fatal(err)
	}
	var last time.Time
	for _, s := range a.State {
		if string(s.Key) != schema.CheckpointKey("dingtest") {
			continue
		}
		if gap := s.Timestamp.Sub(last); gap > time.Minute && !last.IsZero() {
			r.t.Errorf("no checkpoint for %s before %s", gap, s.Timestamp)
		}
		last = s.Timestamp
	}
	if age := time.Since(last); age > time.Minute {
		r.t.Errorf("the last checkpoint is %s old", age)
	}
}

func TestALastingTroubleIsBorneWithPatience(t *testing.T) {
	canceled := &refusing{err: fmt.Errorf("a proxy gave up: %w", context.Canceled)}
	for _, c := range []struct {
		name, ready string
		begin       func(r *rig)
		calls       int // at most, in ten minutes
	}{
		{"a window refused for good, its start old", "DINGTALK_END_TIME=never", func(r *rig) {
			r.cfg.Start = connector.StartAt(time.Now().Add(-8736 * time.Hour))
			r.sim.Set(func(s *dingtalktest.Switches) { s.RefuseEndTime = true })
		}, 80},
		{"a window refused for good, without an end", "window refused", func(r *rig) {
			r.cfg.Start = connector.StartAt(time.Now().Add(-8736 * time.Hour))
			r.cfg.Orgs[0].DingTalk.EndTime = false
			r.sim.Fail(dingtalktest.ParameterRefused, 1_000_000)
		}, 30},
		{"Retry-After of a second", "503", func(r *rig) {
			r.sim.Fail(dingtalktest.Fault{Name: "503", Status: 503, Header: http.Header{"Retry-After": {"1"}}}, 1_000_000)
		}, 30},
		{"two troubles in turn", "dingtalk 500 system", func(r *rig) {
			for range 2000 {
				r.sim.Fail(dingtalktest.SystemError, 1)
				r.sim.Fail(dingtalktest.SystemBusy, 1)
			}
		}, 60},
		{"a call given up by somebody else", "a proxy gave up", func(r *rig) { r.calls = canceled }, 30},
	} {
		t.Run(c.name, func(t *testing.T) {
			onSimulatedTime(t, func(t *testing.T, r *rig) {
				c.begin(r)
				i := r.start(nil)
				time.Sleep(10 * time.Minute)
				if n := r.pages() + int(canceled.calls.Swap(0)); n > c.calls {
					t.Errorf("%d calls in ten minutes, at most %d wanted", n, c.calls)
				}
				if n := r.log.count("level=WARN"); n > 12 {
					t.Errorf("%d warnings\n%s", n, r.log.tail())
				}
				if reasons := strings.Join(i.runner.Status().Ready(time.Now()), "\n"); !strings.Contains(reasons, c.ready) {
					t.Errorf("not ready because: %q, want %q in it", reasons, c.ready)
				}
				r.stop(i)
			})
		})
	}
}

// refusing is a network that gives an error at once.
type refusing struct {
	err   error
	calls atomic.Int64
}

func (f *refusing) RoundTrip(*http.Request) (*http.Response, error) {
	f.calls.Add(1)
	return nil, f.err
}

func TestABannedAddressStaysQuietOverSessions(t *testing.T) {
	onSimulatedTime(t, func(t *testing.T, r *rig) {
		r.sim.BlockIP(dingtalktest.IPBlockHTML403, 5*time.Minute)
		one := r.start(nil)
		time.Sleep(time.Second)
		r.cfg.Kafka.Group += "-second" // takes the state away from the first again and again
		r.calls = hanging{}
		two := r.start(nil)
		time.Sleep(4 * time.Minute)
		if n := len(r.sim.Calls()); n != 1 {
			t.Errorf("%d calls of a banned address in 4 minutes", n)
		}
		r.stop(one)
		r.stop(two)
		r.checkpointsAMinute()
	})
}

// byHost sends each organisation's calls to its own DingTalk.
type byHost map[string]http.RoundTripper

func (b byHost) RoundTrip(r *http.Request) (*http.Response, error) { return b[r.URL.Host].RoundTrip(r) }

// TestTwoOrganisationsOfOnePartition: one session serves both, and the trouble of one delays the other by nothing.
func TestTwoOrganisationsOfOnePartition(t *testing.T) {
	onSimulatedTime(t, func(t *testing.T, r *rig) {
		sim := r.second("key2")
		sim.Set(func(s *dingtalktest.Switches) { s.NoPermission = true })
		i := r.start(nil)
		sim.Leave(person("theirs", time.Now()))
		time.Sleep(3 * time.Minute)
		at := time.Now()
		r.sim.Leave(person("ours", at))
		time.Sleep(15 * time.Second)
		if r.lost("ours", at) {
			t.Error("the trouble of one organisation delays the other")
		}
		if reasons := i.runner.Status().Ready(time.Now()); len(reasons) != 1 || !strings.Contains(reasons[0], r.cfg.Orgs[1].CorpID+": ") || !strings.Contains(reasons[0], "Contact.Common.Read") {
			t.Errorf("not ready because: %q", reasons)
		}
		sim.Set(func(s *dingtalktest.Switches) { s.NoPermission = false })
		time.Sleep(6 * time.Minute)
		if reasons := i.runner.Status().Ready(time.Now()); len(reasons) > 0 {
			t.Errorf("not ready because: %q", reasons)
		}
		r.stop(i)
		r.wellKept(2, 0)
	})
}

// second adds an organisation with an app of its own, in the state partition of the first, and gives its DingTalk.
func (r *rig) second(appKey string) *dingtalktest.Server {
	corpID := r.neighbour()
	sim := dingtalktest.New(dingtalktest.Options{CorpID: corpID, AppKey: appKey, AppSecret: canarySecret, Switches: dingtalktest.Switches{QPS: -1}})
	o, base := r.cfg.Orgs[0], *r.cfg.Orgs[0].DingTalk.BaseURL
	base.Host = "second.test"
	o.CorpID, o.AppKeyDigest = corpID, schema.Digest([]byte(appKey))
	o.DingTalk.CorpID, o.DingTalk.AppKey, o.DingTalk.BaseURL = corpID, appKey, &base
	r.cfg.Orgs = append(r.cfg.Orgs, o)
	r.calls = byHost{"dingtalk.test": r.sim.Transport(), "second.test": sim.Transport()}
	return sim
}

// neighbour is a corpId that lives in the same state partition as the rig's.
func (r *rig) neighbour() string {
	partition := func(corpID string) int {
		return kgo.StickyKeyPartitioner(nil).ForTopic("").Partition(&kgo.Record{Key: []byte(corpID)}, 12)
	}
	for n := 0; ; n++ {
		if corpID := fmt.Sprintf("dingother%d", n); partition(corpID) == partition("dingtest") {
			return corpID
		}
	}
}

func TestAFencedSessionIsNoticedByTheNextHeartbeat(t *testing.T) {
	onSimulatedTime(t, func(t *testing.T, r *rig) {
		i := r.start(nil)
		time.Sleep(time.Minute)
		wire := connector.Wire{DingTalk: r.sim.Transport(), Kafka: r.dial}
		if _, err := connector.Init(t.Context(), r.cfg, wire, slog.New(slog.DiscardHandler)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(90 * time.Second)
		if n := r.log.count("session open"); n != 2 {
			t.Errorf("%d sessions\n%s", n, r.log.tail())
		}
		r.leave(1, "after")
		time.Sleep(15 * time.Second)
		r.stop(i)
		r.check()
		r.checkpointsAMinute()
	})
}

func TestTwoDeploymentsDoNotFight(t *testing.T) {
	onSimulatedTime(t, func(t *testing.T, r *rig) {
		one := r.start(nil)
		r.cfg.Kafka.Group += "-second"
		two := r.start(nil)
		time.Sleep(time.Hour)
		r.leave(3, "while both live")
		time.Sleep(time.Minute)
		if n := r.log.count("was taken over by"); n < 2 || n > 60 {
			t.Errorf("the state changed hands %d times in an hour", n)
		}
		r.stop(one)
		r.stop(two)
		r.check()
	})
}
