package main

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"departures/connector/dingtalk/dingtalktest"
	"departures/connector/kafka/kafkatest"
	"departures/connector/promisetest"
)

// group is the organisations of one ORGS_FILE, on the rig's topics. The rig's own organisation is none of them.
type group struct {
	*rig
	sims map[string]*dingtalktest.Server // by corpId
}

// newGroup has a simulated DingTalk for each corpId, with an app key.
func newGroup(t testing.TB, appKeys map[string]string) *group {
	t.Helper()
	g := &group{rig: newRig(t, kafkatest.Brokers(t)), sims: map[string]*dingtalktest.Server{}}
	for n, corpID := range slices.Sorted(maps.Keys(appKeys)) { // another seed gives other tokens
		g.sims[corpID] = dingtalktest.New(dingtalktest.Options{
			CorpID: corpID, AppKey: appKeys[corpID], AppSecret: canarySecret, Seed: uint64(n), Switches: dingtalktest.Switches{QPS: -1},
		})
	}
	return g
}

// serveAt is the address of a server with this handler.
func serveAt(t testing.TB, h http.Handler) string {
	server := httptest.NewServer(h)
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
	return server.URL
}

// begin starts a verb with an ORGS_FILE of this text, beside which the file secret holds the secret of all.
func (g *group) begin(verb, text string, changes ...string) *process {
	g.t.Helper()
	folder := g.t.TempDir()
	path := filepath.Join(folder, "orgs.yaml")
	for name, content := range map[string]string{path: text, filepath.Join(folder, "secret"): canarySecret + "\n"} {
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			g.t.Fatal(err)
		}
	}
	return g.start(verb, append([]string{"DINGTALK_CORP_ID=", "DINGTALK_APP_KEY=", "DINGTALK_APP_SECRET=", "ORGS_FILE=" + path}, changes...)...)
}

// leave lets n people leave each organisation, just now.
func (g *group) leave(n int, prefix string) {
	for _, sim := range g.sims {
		for i := range n {
			sim.Leave(person(fmt.Sprintf("%s-%d", prefix, i), time.Now()))
		}
	}
}

// settle waits until p has brought every departure of these organisations to the events topic.
func (g *group) settle(p *process, corpIDs ...string) {
	g.t.Helper()
	p.await("every departure of every organisation on the events topic", func() bool {
		ctx, cancel := context.WithTimeout(g.t.Context(), patience)
		defer cancel()
		events, err := kafkatest.ReadCommitted(ctx, g.brokers, g.topics.Events)
		for _, corpID := range corpIDs {
			lost, _, _ := (&promisetest.Account{Events: events}).Count(corpID, promisetest.Owed(g.sims[corpID], g.floor))
			if err != nil || len(lost) > 0 {
				time.Sleep(100 * time.Millisecond)
				return false
			}
		}
		return true
	})
}

// check states the whole guarantee for these organisations.
func (g *group) check(corpIDs ...string) {
	g.t.Helper()
	a := g.account()
	for _, corpID := range corpIDs {
		lost, twice, extra := a.Count(corpID, promisetest.Owed(g.sims[corpID], g.floor))
		if len(lost)+len(twice)+len(extra) > 0 {
			g.t.Errorf("I1, I2: lost %v, twice %v, not known to DingTalk %v", lost, twice, extra)
		}
	}
	for _, breach := range a.Check() {
		g.t.Error(breach)
	}
}

// TestTheOrganisationsOfAFile all have their departures published, are all checked, and are all started by hand.
func TestTheOrganisationsOfAFile(t *testing.T) {
	t.Parallel()
	g := newGroup(t, map[string]string{"dinga": "keya", "dingb": "keyb", "dingc": "keyc"})
	var file strings.Builder
	for _, corpID := range []string{"dinga", "dingb", "dingc"} {
		fmt.Fprintf(&file, "- corp_id: %s\n  app_key: key%s\n  app_secret_file: secret\n  base_url: %s\n", corpID, corpID[4:], serveAt(t, g.sims[corpID]))
	}
	file.WriteString("  token: corp\n")
	state := g.begin("state init", file.String())
	state.ends(patience, exitClean)
	p := g.begin("run", file.String(), "START=")
	g.leave(5, "first")
	p.isReady()
	g.settle(p, "dinga", "dingb", "dingc")
	check := g.begin("check", file.String())
	check.ends(patience, exitClean)
	for _, corpID := range []string{"dinga", "dingb", "dingc"} {
		for what, said := range map[string]string{"state init": state.stdout.String(), "run": p.stderr.String(), "check": check.stdout.String()} {
			if !strings.Contains(said, corpID) {
				t.Errorf("%s does not name %s\n%s", what, corpID, said)
			}
		}
	}
	p.signal(syscall.SIGTERM)
	p.ends(stopBound, exitClean)
	g.check("dinga", "dingb", "dingc")
}

// TestOneAppMayServeManyOrganisations by tokens that name the organisation: another that it published for before is no reason to refuse one.
func TestOneAppMayServeManyOrganisations(t *testing.T) {
	t.Parallel()
	g := newGroup(t, map[string]string{"dinga": "key", "dingb": "key"})
	first := "- {corp_id: dinga, app_key: key, app_secret_file: secret}\n"
	both := first + "- {corp_id: dingb, app_key: key, app_secret_file: secret}\n"
	shared := []string{"DINGTALK_TOKEN=corp", "DINGTALK_BASE_URL=" + serveAt(t, provider(g.sims))}
	p := g.begin("run", first, shared...)
	g.leave(3, "first")
	g.settle(p, "dinga")
	p.signal(syscall.SIGTERM)
	p.ends(stopBound, exitClean)

	p = g.begin("run", both, shared...)
	g.leave(3, "second")
	p.isReady()
	g.settle(p, "dinga", "dingb")
	p.signal(syscall.SIGTERM)
	p.ends(stopBound, exitClean)
	g.check("dinga", "dingb")
}

// provider is one DingTalk with several organisations: tokens are asked for by corpId, and a data call is for the one whose token it has.
func provider(sims map[string]*dingtalktest.Server) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		answer := httptest.NewRecorder()
		for corpID, sim := range sims {
			if strings.HasSuffix(q.URL.Path, "/token") && !strings.HasSuffix(q.URL.Path, "/"+corpID+"/token") {
				continue
			}
			answer = httptest.NewRecorder()
			if sim.ServeHTTP(answer, q); answer.Code == http.StatusOK {
				break
			}
		}
		for name, values := range answer.Header() {
			w.Header()[name] = values
		}
		w.WriteHeader(answer.Code)
		_, _ = w.Write(answer.Body.Bytes()) // whoever hangs up asks again
	})
}

// TestABadOrgsFileIsExitCode2WithEveryFaultAndNoValue, with those of the environment.
func TestABadOrgsFileIsExitCode2WithEveryFaultAndNoValue(t *testing.T) {
	t.Parallel()
	const pasted = "canary-pasted-9e1f"
	for _, verb := range []string{"run", "check", "state init"} {
		t.Run(verb, func(t *testing.T) {
			t.Parallel()
			g := newGroup(t, nil)
			p := g.begin(verb, `- corp_id: dinga
  app_key: `+pasted+`
  app_secret: `+pasted+`
  rate: `+pasted+`
- corp_id: dinga
  app_key: `+pasted+`
  app_secret_file: `+pasted+`
  `+pasted+`: 5
- `+pasted+`
`, "DINGTALK_APP_KEY="+pasted, "DINGTALK_TIMEOUT="+pasted, "LOG_LEVEL="+pasted)
			p.ends(patience, exitUsage)
			said := p.stderr.String()
			for _, fault := range []string{
				"DINGTALK_APP_KEY and ORGS_FILE are both set", "DINGTALK_TIMEOUT is not a duration", "ORGS_FILE line 3: app_secret is no place for a secret",
				"ORGS_FILE line 4: rate is not a number", "ORGS_FILE line 5: corp_id is that of line 1 too", "ORGS_FILE line 7: app_secret_file names a file",
				"ORGS_FILE line 8 has a key that is no setting", "ORGS_FILE line 9 is no organisation", "LOG_LEVEL is no word",
			} {
				if !strings.Contains(said, fault) {
					t.Errorf("stderr lacks %q:\n%s", fault, said)
				}
			}
			if strings.Contains(said, pasted) || p.stdout.String() != "" {
				t.Errorf("a value was echoed, or stdout is not empty:\n%s%s", said, p.stdout.String())
			}
		})
	}
}
