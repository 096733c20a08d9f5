package main

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// shownPause lies between two looks at the end of the events topic.
const shownPause = 50 * time.Millisecond

// reader reads the state topic from its start, and goes on.
type reader struct {
	client *kgo.Client
	orgs   map[string]*organisation // by corpId
	unread map[int32]int64          // where the partitions ended at the start that were not read so far yet
}

// newReader is ready to read. Where a login or TLS is needed, it belongs into its client.
func newReader(ctx context.Context, s settings) (*reader, error) {
	client, err := kgo.NewClient(
		kgo.SeedBrokers(s.brokers...),
		kgo.ConsumeTopics(s.state),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), // what is not committed may never have been
		kgo.FetchMaxWait(time.Second),                // for the brokers to hold an empty answer back
		kgo.KeepControlRecords(),                     // the last offset of a topic with transactions is a marker's
	)
	if err != nil {
		return nil, err
	}
	r := &reader{client: client, orgs: map[string]*organisation{}, unread: map[int32]int64{}}
	adm := kadm.NewClient(client)
	starts, err1 := listed(adm.ListStartOffsets(ctx, s.state))
	ends, err2 := listed(adm.ListCommittedOffsets(ctx, s.state))
	if err := cmp.Or(err1, err2); err != nil {
		client.Close()
		return nil, fmt.Errorf("look where topic %s begins and ends: %w", s.state, err)
	}
	ends.Each(func(end kadm.ListedOffset) {
		if start, _ := starts.Lookup(s.state, end.Partition); start.Offset < end.Offset {
			r.unread[end.Partition] = end.Offset
		}
	})
	return r, nil
}

// read takes what comes next, or nothing if it is not there in time. Whole says whether everything that stood in the topic at the start
// has been read: before that, what is known may be old, and organisations be missing.
func (r *reader) read(ctx context.Context, atMost time.Duration) (whole bool, err error) {
	wait, cancel := context.WithTimeout(ctx, atMost)
	defer cancel()
	fetches := r.client.PollFetches(wait)
	for _, e := range fetches.Errors() {
		if wait.Err() == nil {
			return false, fmt.Errorf("read %s/%d: %w", e.Topic, e.Partition, e.Err)
		}
	}
	for _, record := range fetches.Records() {
		if err := r.take(record); err != nil {
			return false, err
		}
	}
	return len(r.unread) == 0, nil
}

// take notes what a record says. Of two with one key the later one counts, and one without a value says that there is none any more.
func (r *reader) take(record *kgo.Record) error {
	end, old := r.unread[record.Partition]
	if old && record.Offset+1 >= end {
		delete(r.unread, record.Partition)
	}
	corpID, is := strings.CutPrefix(string(record.Key), checkpointPrefix)
	switch {
	case record.Attrs.IsControl() || !is:
		return nil
	case record.Value == nil:
		delete(r.orgs, corpID)
		return nil
	}
	c, err := parseCheckpoint(record.Value)
	if err != nil {
		return fmt.Errorf("the checkpoint of %s at %s/%d offset %d cannot be read: %w", corpID, record.Topic, record.Partition, record.Offset, err)
	}
	seen := time.Now()
	if old && record.Timestamp.Before(seen) {
		seen = record.Timestamp // it has stood there for as long as the connector's clock says; of one that comes now, ours tells
	}
	r.orgs[corpID] = &organisation{corpID: corpID, checkpoint: c, committed: record.Timestamp, seen: seen}
	return nil
}

// chosen is the organisations that are asked for, in order; none named are all.
func (r *reader) chosen(corpIDs []string) (orgs []*organisation) {
	for _, corpID := range slices.Sorted(maps.Keys(r.orgs)) {
		if len(corpIDs) == 0 || slices.Contains(corpIDs, corpID) {
			orgs = append(orgs, r.orgs[corpID])
		}
	}
	return orgs
}

// shown returns when the events topic shows to readers at read_committed what was committed together with the checkpoints read so far.
// Kafka makes a transaction visible partition by partition, so the events may show a moment after the checkpoint. They are written,
// though: they lie before the end that a reader at read_uncommitted sees, and they show once the last stable offset has passed it.
func (r *reader) shown(ctx context.Context, events string) error {
	adm := kadm.NewClient(r.client)
	ends, err := listed(adm.ListEndOffsets(ctx, events))
	for behind := true; behind && err == nil; {
		var now kadm.ListedOffsets
		if now, err = adm.ListCommittedOffsets(ctx, events); err != nil {
			break
		}
		behind = false
		ends.Each(func(end kadm.ListedOffset) {
			stable, ok := now.Lookup(events, end.Partition)
			behind = behind || !ok || stable.Err != nil || stable.Offset < end.Offset
		})
		if behind {
			err = pause(ctx, shownPause)
		}
	}
	if err != nil {
		return fmt.Errorf("wait until topic %s shows what is committed: %w", events, err)
	}
	return nil
}

// listed is what Kafka answered, with the first error of any partition as its own.
func listed(offsets kadm.ListedOffsets, err error) (kadm.ListedOffsets, error) {
	return offsets, cmp.Or(err, offsets.Error())
}

// pause waits for d, or until ctx ends.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
