package dingtalktest

import (
	"compress/gzip"
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"syscall"
)

// Transport serves calls in process: no socket, no goroutine, and one address from which all its calls come. The host of the URL says
// which deployment they meet. Errors are those that net/http gives over
// a network, a broken body breaks while it is read, and everything that waits ends with the request's context. As
// [http.Transport] does, it asks for gzip by itself and unpacks it.
func (s *Server) Transport() http.RoundTripper { return transport{s} }

type transport struct{ server *Server }

// RoundTrip answers one request.
func (t transport) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		defer r.Body.Close()
	}
	ctx := r.Context()
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	accept := r.Header.Get("Accept-Encoding")
	a := t.server.serve(newCall(r, t.server.foreign(r.URL.Host), accept == "" || strings.Contains(accept, "gzip"))).sized()
	if err := wait(ctx, a.delayBefore()); err != nil {
		return nil, err
	}
	if err := a.wire.failure(ctx, r.URL.Hostname()); err != nil {
		return nil, err
	}
	resp := &http.Response{
		Status:     strconv.Itoa(a.status) + " " + http.StatusText(a.status),
		StatusCode: a.status,
		Proto:      "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header:        a.header,
		ContentLength: int64(len(a.body)),
		Request:       r,
		Body:          newBody(ctx, t.server, a),
	}
	if a.wire == TruncateChunked {
		resp.ContentLength, resp.TransferEncoding = -1, []string{"chunked"}
	}
	if accept == "" && a.header.Get("Content-Encoding") == "gzip" {
		a.header.Del("Content-Encoding")
		a.header.Del("Content-Length")
		resp.ContentLength, resp.Uncompressed = -1, true
		resp.Body = &unpacked{packed: resp.Body}
	}
	return resp, nil
}

// failure is the error of a call that gets no answer, after however long that takes.
func (w Wire) failure(ctx context.Context, host string) error {
	switch w {
	case Hang:
		<-ctx.Done()
		return context.Cause(ctx)
	case Reset:
		return connectionReset()
	case Refuse:
		return &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
	case NoSuchHost:
		return &net.OpError{Op: "dial", Net: "tcp", Err: &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}}
	case WrongCertificate:
		return &tls.CertificateVerificationError{Err: x509.UnknownAuthorityError{}}
	}
	return nil
}

func connectionReset() error {
	return &net.OpError{Op: "read", Net: "tcp", Err: os.NewSyscallError("read", syscall.ECONNRESET)}
}

// body is an answer's body as it comes over the wire.
type body struct {
	ctx    context.Context // of the request, and ended by Close: a body lives as long as both
	cancel context.CancelCauseFunc
	server *Server
	answer *answer
	pieces [][]byte
}

func newBody(ctx context.Context, s *Server, a *answer) *body {
	ctx, cancel := context.WithCancelCause(ctx)
	return &body{ctx, cancel, s, a, a.pieces()}
}

// Read gives what is left of the present piece, and how the body ends after the last.
func (b *body) Read(p []byte) (int, error) {
	if err := context.Cause(b.ctx); err != nil {
		return 0, err
	}
	for len(b.pieces) > 0 && len(b.pieces[0]) == 0 {
		if b.pieces = b.pieces[1:]; len(b.pieces) == 0 {
			break
		}
		if err := wait(b.ctx, b.answer.pauseBetween()); err != nil {
			return 0, err
		}
	}
	if len(b.pieces) == 0 {
		return 0, b.end()
	}
	n := copy(p, b.pieces[0])
	b.pieces[0] = b.pieces[0][n:]
	return n, nil
}

// end is the error after the last byte.
func (b *body) end() error {
	switch b.answer.wire {
	case Truncate, TruncateChunked:
		return io.ErrUnexpectedEOF
	case ResetBody:
		return connectionReset()
	case Stall:
		<-b.ctx.Done()
		return context.Cause(b.ctx)
	}
	b.server.delivered(b.answer)
	return io.EOF
}

// Close ends a Read that waits.
func (b *body) Close() error {
	b.cancel(http.ErrBodyReadAfterClose)
	return nil
}

// unpacked reads a compressed body from the first Read on.
type unpacked struct {
	packed io.ReadCloser
	plain  *gzip.Reader
}

// Read gives plain bytes.
func (u *unpacked) Read(p []byte) (int, error) {
	if u.plain == nil {
		plain, err := gzip.NewReader(u.packed)
		if err != nil {
			return 0, err
		}
		u.plain = plain
	}
	return u.plain.Read(p)
}

// Close closes the compressed body.
func (u *unpacked) Close() error { return u.packed.Close() }
