package kafka

import (
	"context"
	"slices"
	"strconv"

	"github.com/twmb/franz-go/pkg/kadm"
)

// topicsAndState has the topics and the state judged as Prepare judges them, and adds what only an inspection looks at.
func (i *inspection) topicsAndState(ctx context.Context, cl *client) error {
	p := &preparation{Cluster: i.Cluster, inspects: true, cl: cl, adm: kadm.NewClient(cl.Client)}
	err := p.lookAtTopics(ctx)
	for _, w := range p.wanted() {
		p.judgeRights(w)
		p.judgePartitions(w)
		p.describe(w)
	}
	if err == nil {
		err = p.readState(ctx)
	}
	if err == nil {
		p.describeState()
		i.state = p.stateTopic()
	}
	i.findings = append(i.findings, p.findings...)
	return err
}

func (p *preparation) stateTopic() StateTopic {
	switch _, found := p.found[p.cfg.StateTopic]; {
	case p.faulty(stateSubject):
	case p.missing[p.cfg.StateTopic]:
		return StateMissing
	case found && !p.faulty("topic "+p.cfg.StateTopic):
		return StateFound
	}
	return StateUnfit
}

// judgeRights compares what the broker says that this user may do with what is needed. DescribeConfigs on a topic that exists
// was tried, and so was Create on one that does not. A broker without an authorizer names every right.
func (p *preparation) judgeRights(w wantedTopic) {
	if !p.missing[w.name] && p.found[w.name].Topic == "" {
		return // it may not even be seen, or was not asked for
	}
	var lacking []kadm.ACLOperation
	for _, right := range w.needs {
		tried := right == kadm.OpDescribeConfigs && !p.missing[w.name]
		if !tried && !slices.Contains(p.allowed[w.name], right) {
			lacking = append(lacking, right)
		}
	}
	switch {
	case len(lacking) == 0:
	case !slices.Contains(p.allowed[w.name], kadm.OpDescribe): // whoever sees a topic has this one: nothing was said
		p.warn(w.subject(), "the broker does not say which rights this user has on it: if something is refused later, %s", w.grant(lacking...))
	default:
		p.fault(w.subject(), "a right is missing: %s", w.grant(lacking...))
	}
}

// judgePartitions looks for partitions that nobody can write to at the moment.
func (p *preparation) judgePartitions(w wantedTopic) {
	var leaderless, short []int32
	need, _ := strconv.Atoi(p.has[w.name]["min.insync.replicas"])
	for _, partition := range p.found[w.name].Partitions.Sorted() {
		switch {
		case partition.Leader < 0:
			leaderless = append(leaderless, partition.Partition)
		case len(partition.ISR) < min(need, len(partition.Replicas)):
			short = append(short, partition.Partition)
		}
	}
	if len(leaderless) > 0 {
		p.fault(w.subject(), "partitions %v have no leader: start the brokers that hold them", leaderless)
	}
	if len(short) > 0 {
		p.fault(w.subject(), "partitions %v have fewer replicas in sync than min.insync.replicas=%d: start the brokers that hold the others",
			short, need)
	}
}

// describe says what a topic is like that has no fault.
func (p *preparation) describe(w wantedTopic) {
	detail, ok := p.found[w.name]
	if !ok || p.faulty(w.subject()) {
		return
	}
	has := p.has[w.name]
	p.fine(w.subject(), "%d partitions, replication factor %d, min.insync.replicas=%s, cleanup.policy=%s, retention.ms=%s, max.message.bytes=%s",
		len(detail.Partitions), detail.Partitions.NumReplicas(), has["min.insync.replicas"], has["cleanup.policy"], has["retention.ms"],
		has["max.message.bytes"])
}

// describeState says what a state is like that has no fault.
func (p *preparation) describeState() {
	switch n := len(p.topics.MetaPartitions); {
	case p.faulty(stateSubject), p.faulty("topic " + p.cfg.StateTopic), p.faulty("topic " + p.cfg.EventsTopic):
	case n == 0 && p.worst(stateSubject) == Fine:
		p.fine(stateSubject, "new: nothing was ever written for this connector")
	case n == 0: // what was said of it is enough
	default:
		p.fine(stateSubject, "%d of %d partitions are in use, and fit the configuration", n, p.topics.Partitions)
	}
}
