package dingtalktest_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"runtime"
	"strings"
	"testing"
	"time"

	"departures/connector/dingtalk/dingtalktest"
)

// BenchmarkPage is a page of 50 in the handler, without a network, in walks over windows of a week: with more departures it costs no more.
func BenchmarkPage(b *testing.B) {
	const week = 7 * 24 * time.Hour
	for _, n := range []int{100_000, 1_000_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			founded := noon.AddDate(-3, 0, 0)
			sim := founding(n, founded)
			login := serve(b, sim, "POST", "/v1.0/oauth2/accessToken", fmt.Sprintf(`{"appKey":%q,"appSecret":%q}`, appKey, secret), jsonHeader)
			header := tokenHeader(after(login, `"accessToken":"`))
			b.ReportAllocs()
			start, token := founded, "0"
			for b.Loop() {
				q := url.Values{"startTime": {stamp(start)}, "endTime": {stamp(start.Add(week))}, "maxResults": {"50"}, "nextToken": {token}}
				token = after(serve(b, sim, "GET", "/v1.0/contact/empLeaveRecords?"+q.Encode(), "", header), `{"nextToken":"`)
				if token != "" {
					continue
				}
				token = "0"
				if start = start.Add(week); start.After(noon) {
					start = founded
				}
			}
		})
	}
}

// BenchmarkMillion is what a million departures need before they are served and when they are counted: time, and memory each.
func BenchmarkMillion(b *testing.B) {
	const n = 1_000_000
	for b.Loop() {
		before, began := heap(), time.Now()
		sim := founding(n, noon.AddDate(-3, 0, 0))
		b.ReportMetric(time.Since(began).Seconds(), "s/leave")
		b.ReportMetric(float64(heap()-before)/n, "B/departure")
		began = time.Now()
		if got := len(sim.Truth()); got != n {
			b.Fatalf("%d of %d", got, n)
		}
		b.ReportMetric(time.Since(began).Seconds(), "s/truth")
	}
}

// founding is a server with n departures from founded until noon.
func founding(n int, founded time.Time) *dingtalktest.Server {
	sim := dingtalktest.New(dingtalktest.Options{
		CorpID: corpID, AppKey: appKey, AppSecret: secret, Now: func() time.Time { return noon },
		Switches: dingtalktest.Switches{QPS: -1},
	})
	sim.Leave(dingtalktest.Corpus(1, n, founded, noon)...)
	return sim
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// serve is the beginning of the answer to one call.
func serve(b *testing.B, h http.Handler, method, target, body string, header http.Header) string {
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	r.Header = header
	w := &beginning{header: http.Header{}}
	h.ServeHTTP(w, r)
	if w.status != http.StatusOK {
		b.Fatalf("%s %s: %d %s", method, target, w.status, w.text)
	}
	return w.text
}

// beginning is a response that keeps little, so that only the handler is measured.
type beginning struct {
	header http.Header
	status int
	text   string
}

func (w *beginning) Header() http.Header    { return w.header }
func (w *beginning) WriteHeader(status int) { w.status = status }
func (w *beginning) Write(p []byte) (int, error) {
	w.text += string(p[:min(len(p), 80)])
	return len(p), nil
}

// after is what stands in text between prefix and the next quotation mark; "" if it is not there.
func after(text, prefix string) string {
	_, rest, _ := strings.Cut(text, prefix)
	value, _, _ := strings.Cut(rest, `"`)
	return value
}
