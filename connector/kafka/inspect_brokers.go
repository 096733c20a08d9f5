package kafka

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"
)

// reachBound bounds the questions to one broker, dialTimeout and the TLS handshake included. A wrong password takes Apache Kafka
// 0.3 s to answer.
const reachBound = 8 * time.Second

// brokerSubject is what findings about brokers are about.
const brokerSubject = "brokers"

// broker is what one address answered.
type broker struct {
	addr     string
	meta     *kmsg.MetadataResponse
	versions *kmsg.ApiVersionsResponse
	err      error
}

// brokers asks every configured broker by itself, and then every other one that they name: a client learns the addresses from
// any of them, and must reach the leader of each partition. False: none answered, so there is nobody to ask anything else.
func (i *inspection) brokers(ctx context.Context) bool {
	configured := i.askEach(ctx, i.cfg.Brokers)
	var cluster *kmsg.MetadataResponse
	for _, b := range configured {
		if b.err == nil {
			cluster = b.meta
			i.reached = append(i.reached, b)
		}
	}
	if ctx.Err() != nil {
		return false
	}
	if cluster == nil {
		for _, b := range configured {
			i.fault(brokerSubject, "%s of KAFKA_BROKERS: %s", b.addr, i.inability(b.err, "correct KAFKA_BROKERS"))
		}
		return false
	}
	advertised := i.askAdvertised(ctx, configured)
	for _, b := range configured {
		if _, ok := advertised[b.addr]; b.err != nil && !ok {
			i.warn(brokerSubject, "%s of KAFKA_BROKERS, while others answer: %s", b.addr, i.inability(b.err, "correct KAFKA_BROKERS"))
		}
	}
	i.judgeCluster(cluster, advertised)
	return ctx.Err() == nil
}

// askAdvertised asks the brokers that were named by others, by address; those that were asked before are not asked again.
func (i *inspection) askAdvertised(ctx context.Context, asked []broker) map[string]broker {
	var addrs []string
	for _, b := range i.reached {
		for _, named := range b.meta.Brokers {
			addrs = append(addrs, address(named))
		}
	}
	slices.Sort(addrs)
	addrs = slices.Compact(addrs)
	all := map[string]broker{}
	for _, b := range asked {
		if slices.Contains(addrs, b.addr) {
			all[b.addr] = b
		}
	}
	others := i.askEach(ctx, slices.DeleteFunc(addrs, func(addr string) bool { _, ok := all[addr]; return ok }))
	for _, b := range others {
		all[b.addr] = b
		if b.err == nil {
			i.reached = append(i.reached, b)
		}
	}
	return all
}

// address is where a broker says that it listens.
func address(b kmsg.MetadataResponseBroker) string {
	return net.JoinHostPort(b.Host, strconv.Itoa(int(b.Port)))
}

// judgeCluster holds what the brokers said against each other.
func (i *inspection) judgeCluster(cluster *kmsg.MetadataResponse, advertised map[string]broker) {
	for _, addr := range slices.Sorted(maps.Keys(advertised)) {
		if b := advertised[addr]; b.err != nil {
			i.fault(brokerSubject, "the cluster says that one of its brokers listens on %s: %s", addr,
				i.inability(b.err, "correct advertised.listeners of that broker, or let this host reach it"))
		}
	}
	clusters := map[string]string{} // an address for each cluster id
	for _, b := range i.reached {
		if b.meta.ClusterID != nil {
			clusters[*b.meta.ClusterID] = b.addr
		}
	}
	if len(clusters) > 1 {
		i.fault(brokerSubject, "%s belong to different clusters: correct KAFKA_BROKERS, or advertised.listeners of the brokers",
			strings.Join(slices.Sorted(maps.Values(clusters)), " and "))
	}
	if cluster.ControllerID < 0 {
		i.fault(brokerSubject, "the cluster has no controller: start its controllers")
	}
	if !i.faulty(brokerSubject) {
		i.fine(brokerSubject, "%d in the cluster, all reached; controller %d; Kafka %s by what it speaks", len(cluster.Brokers),
			cluster.ControllerID, kversion.FromApiVersionsResponse(i.reached[0].versions).VersionGuess())
	}
}

// features is a feature's finalized level, which the whole cluster has, and the highest that it could have; 0 where nothing is
// said of it.
func (i *inspection) features(name string) (finalized, supported int16) {
	versions := i.reached[0].versions
	for _, f := range versions.FinalizedFeatures {
		if f.Name == name {
			finalized = f.MaxVersionLevel
		}
	}
	for _, f := range versions.SupportedFeatures {
		if f.Name == name {
			supported = f.MaxVersion
		}
	}
	return finalized, supported
}

// askEach asks brokers at once, each by itself.
func (i *inspection) askEach(ctx context.Context, addrs []string) []broker {
	answers := make([]broker, len(addrs))
	var wg sync.WaitGroup
	for n, addr := range addrs {
		wg.Go(func() { answers[n] = i.ask(ctx, addr) })
	}
	wg.Wait()
	return answers
}

// ask asks one broker who it is. A connection that cannot be opened is not tried again: kgo would, for as long as it may.
func (i *inspection) ask(ctx context.Context, addr string) broker {
	b := broker{addr: addr}
	ctx, cancel := context.WithTimeout(ctx, reachBound)
	defer cancel()
	ctx, giveUp := context.WithCancelCause(ctx)
	defer giveUp(nil)
	dial := func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := i.dial(ctx, network, addr)
		if err != nil {
			giveUp(&dialError{err})
		}
		return conn, err
	}
	cl, err := i.client(kgo.SeedBrokers(addr), kgo.RequestRetries(0), kgo.Dialer(dial))
	if err != nil {
		b.err = err
		return b
	}
	defer cl.close()
	defer cl.bind(ctx)()
	seed := cl.SeedBrokers()[0]
	meta := kmsg.NewPtrMetadataRequest()
	meta.Topics = []kmsg.MetadataRequestTopic{} // none
	if b.meta, b.err = meta.RequestWith(ctx, seed); b.err == nil {
		versions := kmsg.NewPtrApiVersionsRequest()
		versions.ClientSoftwareName, versions.ClientSoftwareVersion = "departures", "check" // Kafka refuses empty ones
		b.versions, b.err = versions.RequestWith(ctx, seed)
	}
	if b.err == nil {
		b.err = kerr.ErrorForCode(b.versions.ErrorCode)
	}
	if b.err != nil && ctx.Err() != nil {
		b.err = context.Cause(ctx)
	}
	return b
}

// dialError is what kept a connection from being opened.
type dialError struct{ error }

// Unwrap gives what it was.
func (e *dialError) Unwrap() error { return e.error }

// inability says why a broker cannot be used, and what to do: correct where its address is to blame.
func (i *inspection) inability(err error, correct string) string {
	if words := i.inWords("log in", err); words != "" {
		return words
	}
	what, wayOut := i.noConnection(err)
	if what == "" {
		what, wayOut = i.noAnswer(err)
	}
	if wayOut == "" {
		wayOut = correct
	}
	return fmt.Sprintf("%s (%v): %s", what, err, wayOut)
}

// noConnection puts what kept a connection from being opened into words; the way out is empty where the address is to blame,
// and everything is where there was a connection.
func (i *inspection) noConnection(err error) (what, wayOut string) {
	if !is[*dialError](err) {
		return "", ""
	}
	op, _ := errors.AsType[*net.OpError](err)
	late := os.IsTimeout(err) || errors.Is(err, context.DeadlineExceeded)
	switch {
	case is[*net.DNSError](err):
		return "its name is not known here", ""
	case errors.Is(err, syscall.ECONNREFUSED):
		return "nobody listens there", ""
	case is[x509.UnknownAuthorityError](err):
		return "nobody whom this host trusts has signed its certificate", "set KAFKA_TLS_CA_FILE to the certificates that sign the brokers'"
	case is[x509.HostnameError](err):
		return "its certificate is for another name", ""
	case is[x509.CertificateInvalidError](err):
		return "its certificate is not valid", "renew it, or correct this host's clock"
	case op != nil && op.Op == "remote error":
		return "it refuses our TLS handshake", wantsCertificate
	case i.cfg.TLS != nil && (op == nil || op.Op != "dial") && (late || is[tls.RecordHeaderError](err) || isHangUp(err)):
		return "it does not speak TLS there", "set KAFKA_TLS=false, or correct the port"
	case late:
		return fmt.Sprintf("nothing answers there within %v", dialTimeout), ""
	}
	return "it cannot be reached", ""
}

// is says whether an error of that type is among those that err wraps.
func is[E error](err error) bool {
	_, ok := errors.AsType[E](err)
	return ok
}

// isHangUp says whether the other side ended the connection.
func isHangUp(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET)
}

// wantsCertificate is the way out where a broker closes over our part of the TLS handshake.
const wantsCertificate = "set KAFKA_TLS_CERT_FILE and KAFKA_TLS_KEY_FILE to a certificate that the brokers trust"

// noAnswer puts what went wrong on an open connection into words. kgo has no types for most of it.
func (i *inspection) noAnswer(err error) (what, wayOut string) {
	op, _ := errors.AsType[*net.OpError](err)
	switch {
	case op != nil && op.Op == "remote error": // TLS 1.3 says so with the first answer
		return "it refuses our TLS handshake", wantsCertificate
	case strings.Contains(err.Error(), "tls alert record"):
		return "it speaks TLS there", "set KAFKA_TLS=true, or correct the port"
	case strings.Contains(err.Error(), "invalid large response size"):
		return "what listens there is no Kafka", ""
	case isHangUp(err) && i.cfg.Mechanism != "":
		return "it hangs up while we log in", "correct KAFKA_SASL_USERNAME, KAFKA_SASL_PASSWORD or KAFKA_SASL_MECHANISM, or KAFKA_TLS"
	case isHangUp(err):
		return "it hangs up at our first question", "set KAFKA_SASL_MECHANISM if it wants a login, KAFKA_TLS=true if it wants TLS, " +
			"or correct the port if that is a controller's"
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Sprintf("it takes connections and does not answer within %v", reachBound), "look at that broker; or correct the port"
	}
	return "it does not answer as a Kafka does", ""
}
