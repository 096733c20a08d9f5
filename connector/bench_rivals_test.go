package connector_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"os"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"golang.org/x/sync/errgroup"

	"departures/connector"
	"departures/connector/dingtalk"
	"departures/connector/walk"
	"departures/schema"
)

// windowsAtOnce is how many windows are read side by side where Kafka takes no part.
const windowsAtOnce = 8

// readPages reads every page of the history, and nothing else.
func readPages(ctx context.Context) (int, error) {
	cfg, err := connector.LoadConfig()
	if err != nil {
		return 0, err
	}
	client := dingtalk.New(cfg.Orgs[0].DingTalk)
	var n atomic.Int64
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(windowsAtOnce)
	_ = eachWindow(cfg, func(start, end time.Time) error { // the group has its errors
		group.Go(func() error {
			return eachRecord(ctx, client, start, end, func(dingtalk.LeaveRecord) error {
				n.Add(1)
				return nil
			})
		})
		return nil
	})
	err = group.Wait()
	return int(n.Load()), err
}

// pollBarely is the least that publishes: the same pages one after the other, each record an event as the connector writes it, in
// transactions of a thousand. It keeps no state, and so would publish everything again after a restart.
func pollBarely(ctx context.Context) (int, error) {
	cfg, err := connector.LoadConfig()
	if err != nil {
		return 0, err
	}
	org := cfg.Orgs[0]
	client := dingtalk.New(org.DingTalk)
	tx, err := newTransactions(cfg, 1000)
	if err != nil {
		return 0, err
	}
	defer tx.cl.Close()
	err = eachWindow(cfg, func(start, end time.Time) error {
		return eachRecord(ctx, client, start, end, func(r dingtalk.LeaveRecord) error {
			return tx.write(ctx, eventRecord(eventOf(org.CorpID, r)))
		})
	})
	if err != nil {
		return tx.n, err
	}
	return tx.n, tx.commit(ctx)
}

// writeTransactions writes records of an event's size, made of a few that are encoded before, as fast as franz-go can in transactions of
// the size asked for.
func writeTransactions(ctx context.Context) (int, error) {
	cfg, err := connector.LoadConfig()
	if err != nil {
		return 0, err
	}
	tx, err := newTransactions(cfg, number(batchEnv))
	if err != nil {
		return 0, err
	}
	defer tx.cl.Close()
	var some []*kgo.Record
	for i := range 1000 {
		l := leaver(i, time.Now())
		some = append(some, eventRecord(schema.EmployeeLeft{
			UserID: l.UserID, Name: l.Name, StateCode: l.StateCode, Mobile: l.Mobile, LeaveTime: l.LeaveTime,
			LeaveReason: &l.LeaveReason, CorpID: cfg.Orgs[0].CorpID, ObservedAt: time.Now(),
		}))
	}
	for i := range number(recordsEnv) {
		r := *some[i%len(some)]
		r.Key = fmt.Appendf(nil, "%s/%018d@2022-06-07T10:11:12Z", cfg.Orgs[0].CorpID, i)
		if err := tx.write(ctx, &r); err != nil {
			return tx.n, err
		}
	}
	return tx.n, tx.commit(ctx)
}

// eachWindow gives the windows from START to now, oldest first, both ends included.
func eachWindow(cfg connector.Config, each func(start, end time.Time) error) error {
	now := time.Now()
	for start := cfg.Start.At(now); start.Before(now); start = start.Add(walk.MaxSpan) {
		end := start.Add(walk.MaxSpan - time.Second)
		if end.After(now) {
			end = now
		}
		if err := each(start, end); err != nil {
			return err
		}
	}
	return nil
}

// eachRecord gives the records of a window. It puts up with no error and with no unreadable record.
func eachRecord(ctx context.Context, client *dingtalk.Client, start, end time.Time, each func(dingtalk.LeaveRecord) error) error {
	for page, err := range client.LeaveRecords(ctx, start, end) {
		if err != nil {
			return err
		}
		for _, r := range page.Records {
			if r.Unreadable != "" {
				return fmt.Errorf("a record cannot be read: %s", r.Unreadable)
			}
			if err := each(r); err != nil {
				return err
			}
		}
	}
	return nil
}

func eventOf(corpID string, r dingtalk.LeaveRecord) schema.EmployeeLeft {
	return schema.EmployeeLeft{
		UserID: r.UserID, Name: (*string)(r.Name), StateCode: (*string)(r.StateCode), Mobile: (*string)(r.Mobile),
		LeaveTime: r.LeaveTime, LeaveReason: r.LeaveReason, CorpID: corpID, ObservedAt: time.Now(),
	}
}

// eventRecord is the record of an event as franz-go takes it.
func eventRecord(e schema.EmployeeLeft) *kgo.Record {
	r := &kgo.Record{Key: []byte(e.Departure().Key()), Value: e.JSON()}
	for _, h := range e.Headers(schema.JSONContent) {
		r.Headers = append(r.Headers, kgo.RecordHeader{Key: h.Key, Value: []byte(h.Value)})
	}
	return r
}

// transactions writes to the events topic, so many records in each transaction.
type transactions struct {
	cl     *kgo.Client
	size   int
	n      int // records, ever
	failed atomic.Pointer[error]
}

func newTransactions(cfg connector.Config, size int) (*transactions, error) {
	opts := []kgo.Opt{
		kgo.SeedBrokers(cfg.Kafka.Brokers...),
		kgo.DefaultProduceTopic(cfg.Kafka.EventsTopic),
		kgo.TransactionalID(cfg.Kafka.Group),
		kgo.ProducerBatchCompression(kgo.GzipCompression()),
		kgo.DisableClientMetrics(),
		kgo.MetadataMinAge(100 * time.Millisecond), // or one harmless error, as of a new topic, costs five seconds
	}
	if dial := kafkaDialer(); dial != nil {
		opts = append(opts, kgo.Dialer(dial))
	}
	cl, err := kgo.NewClient(opts...)
	return &transactions{cl: cl, size: size}, err
}

func (t *transactions) write(ctx context.Context, r *kgo.Record) error {
	if t.n%t.size == 0 {
		if err := t.cl.BeginTransaction(); err != nil {
			return err
		}
	}
	t.cl.Produce(ctx, r, t.produced)
	if t.n++; t.n%t.size == 0 {
		return t.end(ctx)
	}
	return nil
}

// commit ends the last transaction, if it is not full.
func (t *transactions) commit(ctx context.Context) error {
	if t.n%t.size == 0 {
		return nil
	}
	return t.end(ctx)
}

func (t *transactions) end(ctx context.Context) error {
	if err := t.cl.Flush(ctx); err != nil {
		return err
	}
	if failed := t.failed.Load(); failed != nil {
		return *failed
	}
	return t.cl.EndTransaction(ctx, kgo.TryCommit)
}

func (t *transactions) produced(_ *kgo.Record, err error) {
	if err != nil {
		t.failed.Store(&err)
	}
}

// kafkaDialer is the ordinary network, or one to brokers that take their time for each produce request.
func kafkaDialer() func(ctx context.Context, network, address string) (net.Conn, error) {
	delay, err := time.ParseDuration(os.Getenv(produceTimeEnv))
	if err != nil || delay == 0 {
		return nil
	}
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := (&net.Dialer{}).DialContext(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return slowProduce{c, delay}, nil
	}
}

// slowProduce is a connection to a broker that takes its time for each produce request, one after the other: Kafka has one request of
// a connection in hand at a time. franz-go writes a request at once: its size in four bytes, then its key in two.
type slowProduce struct {
	net.Conn
	delay time.Duration
}

func (c slowProduce) Write(request []byte) (int, error) {
	if len(request) >= 6 && kmsg.Key(binary.BigEndian.Uint16(request[4:])) == kmsg.Produce {
		time.Sleep(c.delay)
	}
	return c.Conn.Write(request)
}
