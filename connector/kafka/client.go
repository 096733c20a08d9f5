package kafka

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"
	"github.com/twmb/franz-go/plugin/kslog"
)

const (
	// closeBound is how long a client may take to close in good order before its requests are cancelled.
	closeBound = 500 * time.Millisecond
	// dialTimeout is short: a broker that does not answer in that time is as good as absent, and another may be there.
	dialTimeout = 5 * time.Second
	// metadataMinAge replaces franz-go's 5 s, which every harmless retriable error would otherwise cost.
	metadataMinAge = 500 * time.Millisecond
	// gzipLevel is the level at which events and ledger entries cost least: of a large commit half the CPU of kgo's own level, 5,
	// for 1 % more bytes. Level 1 takes as long as 2, and 3 % more.
	gzipLevel = 2
)

// client is a kgo client whose close is bounded: kgo's own waits for answers, on a frozen broker for more than 25 s.
type client struct {
	*kgo.Client
	cancel context.CancelFunc
}

// client builds one more client with the cluster's options and its own.
func (c *Cluster) client(opts ...kgo.Opt) (*client, error) {
	ctx, cancel := context.WithCancel(context.Background())
	all := append([]kgo.Opt{kgo.WithContext(ctx)}, c.options...)
	cl, err := kgo.NewClient(append(all, opts...)...)
	if err != nil {
		cancel()
		return nil, fmt.Errorf("kafka: client: %w", err)
	}
	return &client{cl, cancel}, nil
}

// bind lets the end of ctx end everything that the client does, until release is called. Needed wherever an answer is waited
// for: some of kgo's requests (metadata, whatever needs it first) do not look at their own context once they are sent. The
// client is of no use afterwards.
func (c *client) bind(ctx context.Context) (release func()) {
	stop := context.AfterFunc(ctx, c.cancel)
	return func() { stop() }
}

// close ends the client within twice closeBound, whatever the broker does. What is still buffered is dropped.
func (c *client) close() {
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		c.UnsafeAbortBufferedRecords()
		c.Close()
	}()
	for range 2 {
		select {
		case <-closed:
		case <-time.After(closeBound):
		}
		c.cancel() // every request in flight fails, and Close has nothing left to wait for
	}
}

// clientOptions are the options that all clients of the cluster share.
func (c *Cluster) clientOptions() ([]kgo.Opt, error) {
	opts := []kgo.Opt{
		kgo.SeedBrokers(c.cfg.Brokers...),
		kgo.ClientID("departures"),
		kgo.DisableClientMetrics(),
		kgo.MetadataMinAge(metadataMinAge),
		kgo.WithLogger(kslog.New(slog.New(asDetail{c.log.Handler()}))),
		kgo.Dialer(c.dial),
	}
	user, password := c.cfg.Username, c.cfg.Password
	switch c.cfg.Mechanism {
	case "":
	case "PLAIN":
		opts = append(opts, kgo.SASL(plain.Auth{User: user, Pass: password}.AsMechanism()))
	case "SCRAM-SHA-256":
		opts = append(opts, kgo.SASL(scram.Auth{User: user, Pass: password}.AsSha256Mechanism()))
	case "SCRAM-SHA-512":
		opts = append(opts, kgo.SASL(scram.Auth{User: user, Pass: password}.AsSha512Mechanism()))
	default:
		return nil, errors.New("unknown SASL mechanism; known: PLAIN, SCRAM-SHA-256, SCRAM-SHA-512")
	}
	return opts, nil
}

// compression is the codec of what is produced; incompressible batches go uncompressed.
func (c *Cluster) compression() (kgo.CompressionCodec, error) {
	switch c.cfg.Compression {
	case "", "gzip":
		return kgo.GzipCompression().WithLevel(gzipLevel), nil
	case "zstd":
		return kgo.ZstdCompression(), nil
	case "lz4":
		return kgo.Lz4Compression(), nil
	case "snappy":
		return kgo.SnappyCompression(), nil
	case "none":
		return kgo.NoCompression(), nil
	}
	return kgo.NoCompression(), errors.New("unknown compression; known: gzip, zstd, lz4, snappy, none")
}

// dial opens one connection, bounded by dialTimeout and with the TLS handshake made.
func (c *Cluster) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	dial := c.cfg.Dial
	if dial == nil {
		dial = (&net.Dialer{}).DialContext
	}
	conn, err := dial(ctx, network, addr)
	if err != nil || c.cfg.TLS == nil {
		return conn, err
	}
	cfg := c.cfg.TLS.Clone()
	if cfg.ServerName == "" {
		cfg.ServerName, _, _ = net.SplitHostPort(addr)
	}
	secure := tls.Client(conn, cfg)
	if err := secure.HandshakeContext(ctx); err != nil {
		conn.Close()
		return nil, fmt.Errorf("tls handshake with %s: %w", addr, err)
	}
	return secure, nil
}

// asDetail makes what franz-go warns of a line for debugging, and drops the rest, several lines a transaction. An absent broker is
// worth one line, which is ours to write; franz-go writes one for each attempt to reach it.
type asDetail struct{ slog.Handler }

// Enabled hides everything below warn, and all of it unless debugging.
func (h asDetail) Enabled(ctx context.Context, level slog.Level) bool {
	return level >= slog.LevelWarn && h.Handler.Enabled(ctx, slog.LevelDebug)
}

// Handle writes the record at debug.
func (h asDetail) Handle(ctx context.Context, r slog.Record) error {
	r.Level = slog.LevelDebug
	return h.Handler.Handle(ctx, r)
}

// outlive is a context that a signal does not cut short at once: it ends bound from now, or grace after ctx does.
func outlive(ctx context.Context, grace, bound time.Duration) (context.Context, context.CancelFunc) {
	longer, cancel := context.WithTimeout(context.WithoutCancel(ctx), bound)
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(grace, cancel) })
	return longer, func() {
		stop()
		cancel()
	}
}
