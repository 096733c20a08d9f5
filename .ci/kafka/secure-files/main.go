// Command secure-files leaves in a broker's folder what it needs to ask for TLS, a login and rights, and what a client needs to be let
// in. The broker must be running; its settings count from its next start on.
//
//	go run ./.ci/kafka/secure-files FOLDER 127.0.0.1:9092
//
//	FOLDER/server.properties  two more listeners, SASL_SSL and EXPIRED, and an authorizer
//	FOLDER/server.pem         key and certificate of SASL_SSL: for 127.0.0.1, and for no name
//	FOLDER/expired.pem        those of EXPIRED, which ended yesterday
//	FOLDER/ca.pem             who signed both
//	FOLDER/stranger.pem       somebody who signed neither
//	FOLDER/password           of the user connector, whom the broker is told of
//	FOLDER/env                the environment of a connector that logs in, NAME=value
//	FOLDER/expired            the address of EXPIRED
package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

const user = "connector"

// iterations of SCRAM's hash are as few as Kafka allows: a client logs in with each of its connections.
const iterations = 4096

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: secure-files FOLDER host:port")
		os.Exit(2)
	}
	if err := secure(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, "secure-files:", err)
		os.Exit(1)
	}
}

// secure writes everything, the settings last: they name the other files.
func secure(folder, addr string) error {
	password := rand.Text()
	if err := introduce(addr, password); err != nil {
		return fmt.Errorf("tell the broker of its user: %w", err)
	}
	files, err := certificates(time.Now())
	if err != nil {
		return fmt.Errorf("make certificates: %w", err)
	}
	secured, expired, err := free(addr)
	if err != nil {
		return err
	}
	files["password"] = []byte(password + "\n")
	files["expired"] = []byte(expired + "\n")
	files["env"] = []byte(environment(folder, secured))
	if files["server.properties"], err = settings(folder, secured, expired); err != nil {
		return err
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(folder, name), content, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// introduce makes the user, with its password.
func introduce(addr, password string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	cl, err := kgo.NewClient(kgo.SeedBrokers(addr))
	if err != nil {
		return err
	}
	defer cl.Close()
	made, err := kadm.NewClient(cl).AlterUserSCRAMs(ctx, nil, []kadm.UpsertSCRAM{
		{User: user, Mechanism: kadm.ScramSha512, Iterations: iterations, Password: password},
	})
	if err != nil {
		return err
	}
	return made.Error()
}

// free gives two addresses of the broker's host with free ports, above those that the broker has.
func free(addr string) (first, second string, err error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return "", "", err
	}
	n, err := strconv.Atoi(port)
	if err != nil {
		return "", "", fmt.Errorf("port of %s: %w", addr, err)
	}
	var found []string
	for n++; len(found) < 2; n++ {
		l, err := net.Listen("tcp", net.JoinHostPort(host, strconv.Itoa(n)))
		if err == nil {
			found = append(found, l.Addr().String())
			l.Close()
		}
	}
	return found[0], found[1], nil
}

// environment is what the connector has to be told.
func environment(folder, addr string) string {
	return strings.Join([]string{
		"KAFKA_BROKERS=" + addr,
		"KAFKA_TLS=true",
		"KAFKA_TLS_CA_FILE=" + filepath.Join(folder, "ca.pem"),
		"KAFKA_SASL_MECHANISM=SCRAM-SHA-512",
		"KAFKA_SASL_USERNAME=" + user,
		"KAFKA_SASL_PASSWORD_FILE=" + filepath.Join(folder, "password"),
		"",
	}, "\n")
}

// settings are the broker's settings with more listeners and an authorizer. A setting that stands twice counts as it stands last.
//
// Brokers and controllers speak to each other without a login, on loopback, and so does whoever is to be above all rights.
func settings(folder, secured, expired string) ([]byte, error) {
	before, err := os.ReadFile(filepath.Join(folder, "server.properties"))
	if err != nil {
		return nil, err
	}
	after := strings.Split(strings.TrimSpace(string(before)), "\n")
	for i, line := range after {
		if strings.HasPrefix(line, "listeners=") || strings.HasPrefix(line, "advertised.listeners=") {
			after[i] = line + ",SASL_SSL://" + secured + ",EXPIRED://" + expired
		}
	}
	after = append(
		after,
		"listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SASL_SSL:SASL_SSL,EXPIRED:SASL_SSL",
		"inter.broker.listener.name=PLAINTEXT",
		"sasl.enabled.mechanisms=SCRAM-SHA-512",
		"authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer",
		"super.users=User:ANONYMOUS",
	)
	for listener, certificate := range map[string]string{"sasl_ssl": "server.pem", "expired": "expired.pem"} {
		after = append(
			after,
			"listener.name."+listener+".ssl.keystore.type=PEM",
			"listener.name."+listener+".ssl.keystore.location="+filepath.Join(folder, certificate),
			"listener.name."+listener+".scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;",
		)
	}
	return []byte(strings.Join(after, "\n") + "\n"), nil
}
