package kafka

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// groupSubject is what findings about the group are about.
func (i *inspection) groupSubject() string { return "group " + i.cfg.Group }

// group looks at who is in the group, and whether this user may join it.
func (i *inspection) group(ctx context.Context, cl *client) error {
	var group kadm.DescribedGroup
	err := i.coordinator(ctx, "describe group "+i.cfg.Group, "offsets.topic", func() error {
		described, err := kadm.NewClient(cl.Client).DescribeGroups(ctx, i.cfg.Group)
		group = described[i.cfg.Group]
		if shards, ok := errors.AsType[*kadm.ShardErrors](err); ok { // one group, so one of them
			err = shards.Errs[0].Err
		}
		if err == nil && kerr.IsRetriable(group.Err) {
			err = group.Err
		}
		return err
	})
	if err != nil {
		return err
	}
	may, err := mayRead(ctx, cl.Client, group)
	if err != nil {
		return i.failed("ask for the right on group "+i.cfg.Group, err)
	}
	if !may {
		i.warn(i.groupSubject(), "the broker does not say whether this user may use it: if that is refused later, grant Read on Group %s", i.cfg.Group)
	}
	assignor := kgo.CooperativeStickyBalancer().ProtocolName()
	var members []string
	strangers := group.ProtocolType != "" && group.ProtocolType != "consumer" || group.Protocol != "" && group.Protocol != assignor
	for _, m := range group.Members {
		members = append(members, m.ClientID+" at "+m.ClientHost)
		subscribed, ok := m.Join.AsConsumer()
		strangers = strangers || ok && !slices.Contains(subscribed.Topics, i.cfg.StateTopic)
	}
	switch {
	case len(members) == 0 && may:
		i.fine(i.groupSubject(), "may be used; nobody is in it")
	case strangers:
		i.fault(i.groupSubject(), "somebody uses it for something else than %s (protocol %q, %q; ours is %q): stop %s, or correct GROUP",
			i.cfg.StateTopic, group.ProtocolType, group.Protocol, assignor, strings.Join(members, ", "))
	case len(members) > 0:
		i.fine(i.groupSubject(), "%d in it, which share the state's partitions: %s", len(members), strings.Join(members, ", "))
	}
	return nil
}

// mayRead says whether this user may join the group; false: that cannot be told. An error may be that the right is missing.
//
// A broker tells the rights on a group that exists. Apache Kafka says nothing of the others, but looks at the right before
// anything else when a heartbeat comes, and a heartbeat of a member that there is not changes nothing. kfake is the other way
// round.
func mayRead(ctx context.Context, cl *kgo.Client, group kadm.DescribedGroup) (bool, error) {
	if slices.Contains(group.AuthorizedOperations, kadm.OpRead) {
		return true, nil
	}
	if slices.Contains(group.AuthorizedOperations, kadm.OpDescribe) {
		return false, kerr.GroupAuthorizationFailed
	}
	req := kmsg.NewPtrHeartbeatRequest()
	req.Group, req.MemberID, req.Generation = group.Group, "departures-check", -1
	resp, err := req.RequestWith(ctx, cl)
	if err == nil {
		err = kerr.ErrorForCode(resp.ErrorCode)
	}
	switch {
	case errors.Is(err, kerr.UnknownMemberID):
		return true, nil
	case errors.Is(err, kerr.GroupIDNotFound):
		return false, nil
	}
	return false, err
}
