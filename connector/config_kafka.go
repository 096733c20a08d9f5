package connector

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"

	"departures/connector/kafka"
	"departures/schema"
)

// kafka is the Kafka that the environment describes, but for the encoding.
func (i *inspection) kafka(e environment) kafka.Config {
	c := kafka.Config{
		Brokers:      i.brokers(e.Brokers),
		TLS:          i.tls(e),
		Mechanism:    i.mechanism(e),
		Username:     e.Username.text(),
		Password:     i.password(e),
		Compression:  i.word(e.Compression, "gzip", "zstd", "lz4", "snappy", "none"),
		InstanceID:   e.InstanceID.text(),
		Instance:     e.InstanceID.text(),
		PartitionKey: schema.PartitionKey,
	}
	if c.InstanceID == "" {
		c.Instance = hostAndPID()
	} else if wrong := illegalName(c.InstanceID); wrong != "" {
		i.fault(e.InstanceID, wrong, legalName)
	}
	c.Group = e.Group.text()
	if strings.ContainsFunc(c.Group, unprintable) {
		i.fault(e.Group, "holds a control character or is not UTF-8", "name the consumer group in plain text")
	}
	i.topics(e.EventsTopic, e.StateTopic, e.QuarantineTopic)
	c.EventsTopic, c.StateTopic, c.QuarantineTopic = e.EventsTopic.text(), e.StateTopic.text(), e.QuarantineTopic.text()
	c.CreateTopics = i.truth(e.CreateTopics)
	return c
}

func hostAndPID() string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return fmt.Sprintf("%s-%d", host, os.Getpid())
}

func (i *inspection) brokers(s setting) []string {
	if !i.required(s, "give the brokers as host:port, comma separated") {
		return nil
	}
	var brokers []string
	for n, b := range strings.Split(s.text(), ",") {
		b = strings.TrimSpace(b)
		brokers = append(brokers, b)
		host, port, err := net.SplitHostPort(b)
		switch {
		case b == "":
			i.fault(s, fmt.Sprintf("has an empty element (number %d)", n+1), "take the spare comma out")
		case strings.Contains(b, "://"):
			i.fault(s, fmt.Sprintf("has an element with a protocol (number %d)", n+1), "give host:port alone; TLS is KAFKA_TLS=true")
		case err != nil || !isHost(host) || !isPort(port):
			i.fault(s, fmt.Sprintf("has an element that is not host:port (number %d)", n+1), "give host and port of each broker, such as broker-1:9092")
		}
	}
	return brokers
}

// tls is nil for plaintext.
func (i *inspection) tls(e environment) *tls.Config {
	on := e.TLS.given() && i.truth(e.TLS)
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	if pem := i.file(e.TLSCAFile); pem != nil {
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(pem) {
			i.fault(e.TLSCAFile, "names a file without a certificate", "give certificates in PEM")
		}
	}
	cert, key := i.file(e.TLSCertFile), i.file(e.TLSKeyFile)
	i.together(e.TLSCertFile, e.TLSKeyFile)
	if cert != nil && key != nil {
		pair, err := tls.X509KeyPair(cert, key)
		if err != nil {
			i.fault(e.TLSCertFile, "and KAFKA_TLS_KEY_FILE are no certificate with its key", "give both in PEM, the certificate first in its chain, the key not encrypted")
		}
		c.Certificates = []tls.Certificate{pair}
	}
	if on {
		return c
	}
	for _, s := range []setting{e.TLSCAFile, e.TLSCertFile, e.TLSKeyFile} {
		if s.given() {
			i.fault(s, "is set although KAFKA_TLS is not true", "set KAFKA_TLS=true, or unset it")
		}
	}
	return nil
}

func (i *inspection) mechanism(e environment) string {
	if !e.Mechanism.given() {
		for _, s := range []setting{e.Username, e.Password, e.PasswordFile} {
			if s.given() {
				i.fault(e.Mechanism, "is not set although "+s.name+" is", "set it to PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512, or unset the other")
				break
			}
		}
		return ""
	}
	m := i.word(e.Mechanism, "PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")
	i.required(e.Username, "give the user that KAFKA_SASL_MECHANISM needs")
	if m == "PLAIN" && !strings.EqualFold(e.TLS.text(), "true") {
		i.warn(e.Mechanism, "is PLAIN without KAFKA_TLS, so that the password crosses the network in the clear", "set KAFKA_TLS=true if the brokers speak it")
	}
	return m
}

func (i *inspection) password(e environment) string {
	if !e.Mechanism.given() && !e.Password.given() && !e.PasswordFile.given() {
		return ""
	}
	return i.secret(e.Password, e.PasswordFile)
}

const legalName = `give 1 to 249 letters, digits, ".", "_" and "-"`

// illegalName says what Kafka would not take in the name of a topic or a static member; "" for nothing.
func illegalName(name string) string {
	switch {
	case len(name) > mostName:
		return fmt.Sprintf("is longer than %d characters", mostName)
	case name == "." || name == "..":
		return `is "." or ".."`
	case strings.Trim(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") != "":
		return "holds a character that Kafka does not allow"
	}
	return ""
}

// internalTopics are the brokers' own.
var internalTopics = []string{"__consumer_offsets", "__transaction_state", "__share_group_state", "__cluster_metadata"}

// topics judges the names of the three topics. Kafka refuses a name that differs from another in "." and "_" only.
func (i *inspection) topics(names ...setting) {
	taken := map[string]setting{}
	for _, s := range names {
		wrong := illegalName(s.text())
		if slices.Contains(internalTopics, s.text()) {
			wrong = "is a topic that the brokers keep for themselves"
		}
		if wrong != "" {
			i.fault(s, wrong, legalName)
			continue
		}
		folded := strings.ReplaceAll(s.text(), ".", "_")
		if other, ok := taken[folded]; ok {
			i.fault(s, "is the same topic to Kafka as "+other.name, `give three topics that differ in more than "." and "_"`)
		}
		taken[folded] = s
	}
}
