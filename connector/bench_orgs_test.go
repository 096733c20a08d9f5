package connector_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"departures/connector/dingtalk/dingtalktest"
	"departures/connector/kafka/kafkatest"
)

// BenchmarkOrganisations gives what a thousand organisations cost in one process at the default poll, while nobody leaves any of them.
func BenchmarkOrganisations(b *testing.B) {
	const organisations, settling, span, poll = 1000, 80 * time.Second, 2 * time.Minute, 10 * time.Second
	t, f := newTown(b, organisations), figures{}
	for b.Loop() {
		r := newBenchRig(b, &t.site, kafkatest.Brokers(b))
		c := r.startChild("connector", "ORGS_FILE="+t.orgsFile, "DINGTALK_CORP_ID=", "DINGTALK_APP_KEY=", "DINGTALK_APP_SECRET=", "DINGTALK_RATE=")
		c.await("it asks for all leave records", func() bool { return r.pages.Load() >= organisations })
		f.add("s-to-all", time.Since(c.began).Seconds())
		time.Sleep(settling)
		before, pages, transactions := c.used(), r.pages.Load(), r.transactions()
		time.Sleep(span)
		after := c.used()
		f.add("calls/poll", float64(r.pages.Load()-pages)/organisations*poll.Seconds()/span.Seconds())
		f.add("tx/min", float64(r.transactions()-transactions)/span.Minutes())
		f.add("%-of-a-core", (after.CPU-before.CPU).Seconds()/span.Seconds()*100)
		f.add("MB-peak", after.megabytes())
		f.add("goroutines", float64(after.Goroutines))
		c.stop()
	}
	f.report(b)
}

// transactions is how many were committed in the state topic by now: each ends with a marker, which takes an offset.
func (r *benchRig) transactions() (n int64) {
	r.b.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(r.brokers...))
	if err != nil {
		r.b.Fatal(err)
	}
	defer cl.Close()
	ends, err := kadm.NewClient(cl).ListEndOffsets(context.Background(), r.env["STATE_TOPIC"])
	if err != nil {
		r.b.Fatal(err)
	}
	ends.Each(func(o kadm.ListedOffset) { n += o.Offset })
	return n - int64(len(r.committed(r.env["STATE_TOPIC"])))
}

// town is a site of many companies, each with an app of its own, under one address as DingTalk's are.
type town struct {
	site
	orgsFile string

	byApp   map[string]*dingtalktest.Server
	mu      sync.Mutex
	byToken map[string]*dingtalktest.Server
}

func newTown(b *testing.B, organisations int) *town {
	b.Helper()
	t := &town{byApp: map[string]*dingtalktest.Server{}, byToken: map[string]*dingtalktest.Server{}}
	t.start = time.Now().Add(-time.Hour).UTC().Truncate(time.Second)
	folder := b.TempDir()
	t.orgsFile = filepath.Join(folder, "orgs.yaml")
	var list bytes.Buffer
	for i := range organisations {
		corpID, app := fmt.Sprintf("ding%04d", i), fmt.Sprintf("app%04d", i)
		t.byApp[app] = dingtalktest.New(dingtalktest.Options{CorpID: corpID, AppKey: app, AppSecret: benchSecret, KeepCalls: 1, Switches: noLimits})
		fmt.Fprintf(&list, "- corp_id: %s\n  app_key: %s\n  app_secret_file: secret\n", corpID, app)
	}
	for name, text := range map[string][]byte{"secret": []byte(benchSecret), "orgs.yaml": list.Bytes()} {
		if err := os.WriteFile(filepath.Join(folder, name), text, 0o600); err != nil {
			b.Fatal(err)
		}
	}
	server := httptest.NewServer(t)
	t.url = server.URL
	b.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
	return t
}

// ServeHTTP sends a call to the company whose app makes it.
func (t *town) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if token := r.Header.Get("X-Acs-Dingtalk-Access-Token"); token != "" {
		t.mu.Lock()
		company := t.byToken[token]
		t.mu.Unlock()
		if strings.HasSuffix(r.URL.Path, "/empLeaveRecords") {
			t.firstAt.CompareAndSwap(0, time.Now().UnixNano())
			t.pages.Add(1)
		}
		company.ServeHTTP(w, r)
		return
	}
	body, _ := io.ReadAll(r.Body)
	r.Body = io.NopCloser(bytes.NewReader(body))
	var asked struct{ AppKey string }
	_ = json.Unmarshal(body, &asked)
	answer := httptest.NewRecorder()
	t.byApp[asked.AppKey].ServeHTTP(answer, r)
	var issued struct{ AccessToken string }
	_ = json.Unmarshal(answer.Body.Bytes(), &issued)
	t.mu.Lock()
	t.byToken[issued.AccessToken] = t.byApp[asked.AppKey]
	t.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(answer.Body.Bytes())
}
