package dingtalk

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

// ordinaryPage is a whole walk: a full page of records with every field, as they come nearly always.
func ordinaryPage() string {
	records := make([]string, maxResults)
	for i := range records {
		records[i] = fmt.Sprintf(`{"userId":"manager6871%06d","name":"欧阳若曦","stateCode":"86","mobile":"185%08d",`+
			`"leaveTime":"2024-06-02T10:%02d:47Z","leaveReason":"leave"}`, i, i, i)
	}
	return `{"nextToken":"","records":[` + strings.Join(records, ",") + `]}`
}

// BenchmarkParsePage is what it costs to read a page that has come.
func BenchmarkParsePage(b *testing.B) {
	a := answer{status: http.StatusOK, body: []byte(ordinaryPage())}
	b.ReportAllocs()
	for b.Loop() {
		o, err := a.object(op)
		if err != nil {
			b.Fatal(err)
		}
		if records, _, reason := parsePage(o); len(records) != maxResults {
			b.Fatal(reason)
		}
	}
	perRecord(b)
}

// BenchmarkCall is what it costs to ask for a page and to read it, the network apart.
func BenchmarkCall(b *testing.B) {
	page := ordinaryPage()
	client := newClient(nil, func(c *Config) {
		c.Transport = roundTrip(func(r *http.Request) (*http.Response, error) {
			body := page
			if r.Method == http.MethodPost {
				body = issue("t1", 7200)
			}
			return &http.Response{
				StatusCode: http.StatusOK, Body: io.NopCloser(strings.NewReader(body)), ContentLength: int64(len(body)), Request: r,
			}, nil
		})
	})
	b.ReportAllocs()
	for b.Loop() {
		if _, errs := collect(client, 1); len(errs) > 0 {
			b.Fatal(errs)
		}
	}
	perRecord(b)
}

// BenchmarkLoopback is the same over the transport that the program uses, eight calls at a time; the server's share is in it.
func BenchmarkLoopback(b *testing.B) {
	page := ordinaryPage()
	s := httptest.NewServer(&dingTalk{page: func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, page) }})
	defer s.Close()
	base, _ := url.Parse(s.URL)
	transport := NewTransport().(*http.Transport)
	defer transport.CloseIdleConnections()
	client := newClient(nil, func(c *Config) { c.BaseURL, c.Transport = base, transport })
	b.ReportAllocs()
	b.SetParallelism(4) // of two processors
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, errs := collect(client, 1); len(errs) > 0 {
				b.Error(errs)
			}
		}
	})
	perRecord(b)
}

func perRecord(b *testing.B) {
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*maxResults), "ns/record")
}
