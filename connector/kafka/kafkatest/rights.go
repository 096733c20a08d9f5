package kafkatest

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// rightBound is how long a broker may take to go by a right that it has acknowledged.
const rightBound = 10 * time.Second

// Names are what rights are about: the three topics and the group.
type Names struct{ Events, Quarantine, State, Group string }

// Right allows one operation on one resource, or on every resource whose name begins so.
type Right struct {
	Operation kmsg.ACLOperation
	Resource  kmsg.ACLResourceType
	Pattern   kmsg.ACLResourcePatternType
	Name      string
}

// Rights are those that the README says suffice, in its order; the last three are needed only where the connector creates its topics.
func Rights(n Names) []Right {
	const write, read, create, configs = kmsg.ACLOperationWrite, kmsg.ACLOperationRead, kmsg.ACLOperationCreate, kmsg.ACLOperationDescribeConfigs
	const topic, literal = kmsg.ACLResourceTypeTopic, kmsg.ACLResourcePatternTypeLiteral
	return []Right{
		{write, topic, literal, n.Events},
		{write, topic, literal, n.Quarantine},
		{write, topic, literal, n.State},
		{read, topic, literal, n.State},
		{configs, topic, literal, n.Events},
		{configs, topic, literal, n.Quarantine},
		{configs, topic, literal, n.State},
		{write, kmsg.ACLResourceTypeTransactionalId, kmsg.ACLResourcePatternTypePrefixed, n.State + "-"},
		{read, kmsg.ACLResourceTypeGroup, literal, n.Group},
		{create, topic, literal, n.Events},
		{create, topic, literal, n.Quarantine},
		{create, topic, literal, n.State},
	}
}

// String is the right in words, such as "Write on Topic employee-left".
func (r Right) String() string {
	operation := map[kmsg.ACLOperation]string{
		kmsg.ACLOperationWrite: "Write", kmsg.ACLOperationRead: "Read", kmsg.ACLOperationCreate: "Create",
		kmsg.ACLOperationDescribeConfigs: "DescribeConfigs",
	}[r.Operation]
	resource := map[kmsg.ACLResourceType]string{
		kmsg.ACLResourceTypeTopic: "Topic", kmsg.ACLResourceTypeGroup: "Group",
		kmsg.ACLResourceTypeTransactionalId: "TransactionalId with the prefix",
	}[r.Resource]
	return fmt.Sprintf("%s on %s %s", operation, resource, r.Name)
}

// Grant gives the user rights, and returns when the broker goes by them.
func (s *Secured) Grant(t testing.TB, rights ...Right) {
	t.Helper()
	req := kmsg.NewPtrCreateACLsRequest()
	for _, r := range rights {
		c := kmsg.NewCreateACLsRequestCreation()
		c.ResourceType, c.ResourcePatternType, c.ResourceName, c.Operation = r.Resource, r.Pattern, r.Name, r.Operation
		c.Principal, c.Host, c.PermissionType = s.principal(), "*", kmsg.ACLPermissionTypeAllow
		req.Creations = append(req.Creations, c)
	}
	s.change(t, rights, true, func(ctx context.Context, cl *kgo.Client) error {
		resp, err := req.RequestWith(ctx, cl)
		for i := 0; err == nil && i < len(resp.Results); i++ {
			err = kerr.ErrorForCode(resp.Results[i].ErrorCode)
		}
		return err
	})
}

// Revoke takes rights away, and returns when the broker goes by that.
func (s *Secured) Revoke(t testing.TB, rights ...Right) {
	t.Helper()
	req := kmsg.NewPtrDeleteACLsRequest()
	for _, r := range rights {
		f := kmsg.NewDeleteACLsRequestFilter()
		f.ResourceType, f.ResourcePatternType, f.ResourceName, f.Operation = r.Resource, r.Pattern, &r.Name, r.Operation
		f.Principal, f.PermissionType = new(s.principal()), kmsg.ACLPermissionTypeAllow
		req.Filters = append(req.Filters, f)
	}
	s.change(t, rights, false, func(ctx context.Context, cl *kgo.Client) error {
		resp, err := req.RequestWith(ctx, cl)
		for i := 0; err == nil && i < len(resp.Results); i++ {
			err = kerr.ErrorForCode(resp.Results[i].ErrorCode)
		}
		return err
	})
}

func (s *Secured) principal() string { return "User:" + s.Env["KAFKA_SASL_USERNAME"] }

// change makes a change to rights, and waits until the broker shows each of them as there, or as gone: it acknowledges one a little
// before.
func (s *Secured) change(t testing.TB, rights []Right, there bool, ask func(context.Context, *kgo.Client) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), rightBound)
	defer cancel()
	cl, err := kgo.NewClient(kgo.SeedBrokers(s.Open...), kgo.DisableClientMetrics())
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	err = ask(ctx, cl)
	for waiting := slices.Clone(rights); err == nil && len(waiting) > 0; {
		var shown bool
		if shown, err = s.has(ctx, cl, waiting[0]); shown == there {
			waiting = waiting[1:]
		}
	}
	if err != nil {
		t.Fatalf("change the rights %v of %s: %v", rights, s.principal(), err)
	}
}

// has says whether the broker goes by a right.
func (s *Secured) has(ctx context.Context, cl *kgo.Client, r Right) (bool, error) {
	req := kmsg.NewPtrDescribeACLsRequest()
	req.ResourceType, req.ResourcePatternType, req.ResourceName, req.Operation = r.Resource, r.Pattern, &r.Name, r.Operation
	req.Principal, req.PermissionType = new(s.principal()), kmsg.ACLPermissionTypeAllow
	resp, err := req.RequestWith(ctx, cl)
	if err != nil {
		return false, err
	}
	return len(resp.Resources) > 0, kerr.ErrorForCode(resp.ErrorCode)
}
