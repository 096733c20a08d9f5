package main

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"departures/connector/dingtalk/dingtalktest"
	"departures/connector/kafka/kafkatest"
)

// exampleConsumer is the path of the example consumer of checkpoints, built once, beside the program.
var exampleConsumer = sync.OnceValues(func() (string, error) {
	path := filepath.Join(filepath.Dir(program), "watermark")
	if said, err := exec.Command("go", "build", "-o", path, "departures/schema/examples/watermark").CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, said)
	}
	return path, nil
})

// watch starts the example consumer on the rig's topics, with more flags.
func (r *rig) watch(flags ...string) *process {
	r.t.Helper()
	path, err := exampleConsumer()
	if err != nil {
		r.t.Fatal(err)
	}
	flags = append([]string{"-brokers", strings.Join(r.brokers, ","), "-state", r.topics.State, "-events", r.topics.Events}, flags...)
	p := &process{t: r.t, cmd: exec.Command(path, flags...), exited: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = &p.stdout, &p.stderr
	if err := p.cmd.Start(); err != nil {
		r.t.Fatal(err)
	}
	go func() {
		defer close(p.exited)
		var failed *exec.ExitError
		if err := p.cmd.Wait(); err != nil && !errors.As(err, &failed) {
			r.t.Errorf("wait for the example: %v", err)
		}
		p.code = p.cmd.ProcessState.ExitCode()
	}()
	r.t.Cleanup(p.kill)
	r.processes = append(r.processes, p)
	return p
}

// shows waits until the last line that it printed of an organisation holds all of these texts.
func (p *process) shows(corpID string, texts ...string) {
	p.t.Helper()
	p.await(fmt.Sprintf("its last line of %s has %q", corpID, texts), func() bool {
		last, found := "", p.stdout.String()
		for line := range strings.Lines(found[:strings.LastIndexByte(found, '\n')+1]) {
			if strings.HasPrefix(line, corpID+": ") {
				last = line
			}
		}
		return last != "" && containsAll(last, texts)
	})
}

// nothingMore ends the line of an organisation with which all is well.
const nothingMore = " ago)\n"

// endsSaying waits for its end, with an exit code and texts on standard error.
func (p *process) endsSaying(code int, texts ...string) {
	p.t.Helper()
	p.ends(patience, code)
	if !containsAll(p.stderr.String(), texts) {
		p.t.Errorf("it does not say %q\n%s", texts, p.tail())
	}
}

// daysAgo is a day of UTC as the example takes it.
func daysAgo(n int) string { return time.Now().UTC().AddDate(0, 0, -n).Format(time.DateOnly) }

// since makes the program begin so long ago.
func (r *rig) since(ago time.Duration) {
	r.floor = time.Now().Add(-ago).UTC().Truncate(time.Second)
	r.env["START"] = r.floor.Format(time.RFC3339)
}

// TestADayIsClosedOnceEverythingOfItCanBeRead by a consumer that knows the checkpoints' schema and nothing else of the program.
func TestADayIsClosedOnceEverythingOfItCanBeRead(t *testing.T) {
	t.Parallel()
	r := newRig(t, kafkatest.Brokers(t))
	r.since(72 * time.Hour)
	noon := time.Now().UTC().Truncate(24 * time.Hour).Add(-12 * time.Hour)
	const people = 200
	for n := range people {
		r.sim.Leave(person(fmt.Sprint(n), noon.Add(time.Duration(n)*time.Second)))
	}
	r.start("state init").ends(patience, exitClean)
	w := r.watch("-day", daysAgo(1), "-wait", patience.String())
	w.shows("dingtest", "complete through "+r.floor.Format(time.RFC3339))
	if !w.alive() {
		t.Fatalf("a day is closed before anybody asked DingTalk\n%s", w.tail())
	}

	p := r.start("run")
	w.ends(patience, exitClean)
	if n := r.readable(); n < people {
		t.Errorf("the day is closed, and %d of %d departures can be read", n, people)
	}
	r.watch("-day", daysAgo(-1), "-wait=8s").endsSaying(1, "is not closed: dingtest is complete through ")
	r.watch("-day", daysAgo(4)).endsSaying(1, "dingtest: "+daysAgo(4)+" in UTC begins before "+r.floor.Format(time.RFC3339))
	if !p.alive() {
		t.Fatal(p.tail())
	}
}

// readable is how many events a reader at read_committed comes by that reads to the end as it is now and waits for nothing.
func (r *rig) readable() (n int) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), patience)
	defer cancel()
	ends, err := kadm.NewClient(r.client()).ListCommittedOffsets(ctx, r.topics.Events)
	if err != nil {
		r.t.Fatal(err)
	}
	events, err := kafkatest.ReadCommitted(ctx, r.brokers, r.topics.Events)
	if err != nil {
		r.t.Fatal(err)
	}
	for _, e := range events {
		if end, _ := ends.Lookup(r.topics.Events, e.Partition); e.Offset < end.Offset {
			n++
		}
	}
	return n
}

// TestADayThatAGapTouchesIsNotClosed: DingTalk refused to show all of it.
func TestADayThatAGapTouchesIsNotClosed(t *testing.T) {
	t.Parallel()
	r := newRig(t, kafkatest.Brokers(t))
	r.since(400 * 24 * time.Hour)
	r.sim.Set(func(s *dingtalktest.Switches) { s.StrictHistory = true })
	stopLeaving := r.peopleLeave(500 * time.Millisecond)
	defer stopLeaving()      // whoever leaves makes a checkpoint; without anybody the next one would take a minute
	r.start("run").isReady() // its topics are there
	within := r.watch("-day", daysAgo(390), "-wait", patience.String())
	across := r.watch("-day", daysAgo(364), "-wait", patience.String())
	after := r.watch("-day", daysAgo(1), "-wait", patience.String())
	within.endsSaying(1, "is touched by a gap, "+r.floor.Format(time.RFC3339)+" to "+daysAgo(364))
	across.endsSaying(1, "is touched by a gap, ")
	after.ends(patience, exitClean)
	if gap := "; gap " + r.floor.Format(time.RFC3339) + " to " + daysAgo(364); !after.stdout.contains(gap) {
		t.Errorf("it does not print %q\n%s", gap, after.tail())
	}
}

// TestAProgramThatIsKilledIsSilentForConsumers, and one that DingTalk does not answer is not, but has nothing observed.
func TestAProgramThatIsKilledIsSilentForConsumers(t *testing.T) {
	t.Parallel()
	const silent = "-silent=6s"
	r := newRig(t, kafkatest.Brokers(t))
	r.env["KAFKA_INSTANCE_ID"] = "pod-0" // its successor need not wait for the group to miss it
	stopLeaving := r.peopleLeave(200 * time.Millisecond)
	defer stopLeaving()
	p := r.start("run")
	r.settle(p)
	w := r.watch(silent)
	w.shows("dingtest", nothingMore)
	p.kill()
	w.shows("dingtest", "; silent: no checkpoint since ")
	late := r.watch(silent)
	if late.shows("dingtest", "; silent: no checkpoint since "); late.stdout.contains(nothingMore) {
		t.Errorf("a consumer that comes later is first told otherwise\n%s", late.tail())
	}

	r.sim.Fail(dingtalktest.Hanging.Against(dingtalktest.AllCalls), 1_000_000)
	p = r.start("run")
	w.shows("dingtest", "; nothing observed: ")
	p.kill()
	r.sim.Heal()
	p = r.start("run")
	w.shows("dingtest", nothingMore)
	if !p.alive() {
		t.Fatal(p.tail())
	}
}

// TestADayIsClosedForAllOrganisationsOrForThoseThatAreNamed although they share their topics.
func TestADayIsClosedForAllOrganisationsOrForThoseThatAreNamed(t *testing.T) {
	t.Parallel()
	g := newGroup(t, map[string]string{"dinga": "keya", "dingb": "keyb"})
	g.since(72 * time.Hour)
	g.sims["dingb"].Fail(dingtalktest.Throttled, 1_000_000) // asked again every second
	p := g.begin("run", fmt.Sprintf(`
- {corp_id: dinga, app_key: keya, app_secret_file: secret, base_url: %s}
- {corp_id: dingb, app_key: keyb, app_secret_file: secret, base_url: %s}
`, serveAt(t, g.sims["dinga"]), serveAt(t, g.sims["dingb"])))
	g.leave(3, "today")
	g.settle(p, "dinga")
	wait := "-wait=" + patience.String()
	g.watch("-day", daysAgo(1), wait, "-corp", "dinga").ends(patience, exitClean)
	all, strange := g.watch("-day", daysAgo(1), "-wait=8s"), g.watch("-day", daysAgo(1), "-wait=8s", "-corp", "dinga,dingc")
	all.endsSaying(1, "is not closed: dingb is complete through "+g.floor.Format(time.RFC3339))
	strange.endsSaying(1, "is not closed: dingc has no checkpoint")
	if strings.Contains(all.stderr.String(), "dinga") {
		t.Errorf("dinga is closed\n%s", all.tail())
	}
	g.sims["dingb"].Heal()
	stopLeaving := untilStopped(500*time.Millisecond, func(n int) { g.sims["dingb"].Leave(person(fmt.Sprint("later-", n), time.Now())) })
	defer stopLeaving()
	g.watch("-day", daysAgo(1), wait).ends(patience, exitClean)
}
