package redrive_test

import (
	"encoding/base64"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"verdict/internal/broker"
	"verdict/internal/bulk/bulktest"
	"verdict/internal/bulk/redrive"
	"verdict/internal/decision"
	"verdict/internal/ledger"
	"verdict/internal/ledger/store"
)

// commit commits what the first edition would have for a partition of the dead letters.
func commit(b *bulktest.Kafka, partition int, metadata string) {
	b.Helper()
	if err := b.Conn.CommitGroupOffsets(b.Context(), "verdict-redrive", bulktest.LettersTopic, map[int]broker.GroupOffset{partition: {Offset: 1, Metadata: metadata}}); err != nil {
		b.Fatal(err)
	}
}

func TestRedriveCarriesOverWhatTheFirstEditionSent(t *testing.T) {
	bulktest.InKafka(t, func(b *bulktest.Kafka) {
		fail(b, bulktest.BackfillTopic, 1, 40, decision.Rejected)
		sent := 0
		for partition := range 2 { // every letter at an even offset went back
			bitmap := []byte{0x55, 0x55}
			for _, rec := range b.All(bulktest.LettersTopic) {
				if rec.Partition == partition && rec.Offset < 16 && rec.Offset%2 == 0 {
					sent++
				}
			}
			last := int64(-1)
			for _, rec := range b.All(bulktest.LettersTopic) {
				if rec.Partition == partition {
					last = max(last, rec.Offset)
				}
			}
			if last < 15 {
				b.Fatalf("partition %d ends at %d", partition, last)
			}
			commit(b, partition, "redrive-1:"+base64.StdEncoding.EncodeToString(bitmap))
		}
		if survey, err := begin(b, options(b)).Scan(b.Context()); err != nil || survey.Already != int64(sent) {
			b.Errorf("%+v, %v, want %d already", survey, err, sent)
		}
		o := options(b)
		o.Limit = 1
		scanAndRun(b, o)
		// It is read once: what happens to those groups from then on is of no interest.
		commit(b, 0, "redrive-1:")
		commit(b, 1, "mine")
		if survey, done := scanAndRun(b, options(b)); survey.Already != int64(sent)+1 || done.Handled != int64(40-sent-1) {
			b.Errorf("%+v, %+v", survey, done)
		}
	})
}

func TestRedriveRejectsCommitsOfOtherPrograms(t *testing.T) {
	for metadata, want := range map[string]string{
		"mine": "kafka.group_id", "redrive-1:?": "kafka.group_id", "redrive-1:" + strings.Repeat("AAAA", 1001): "kafka.group_id",
		"redrive-1:" + base64.StdEncoding.EncodeToString([]byte{0, 0, 0, 1}): "delete the groups verdict-redrive*", // beyond the end
	} {
		bulktest.InKafka(t, func(b *bulktest.Kafka) {
			fail(b, bulktest.BackfillTopic, 1, 3, decision.Rejected)
			commit(b, 0, metadata)
			if _, err := redrive.New(b.Context(), options(b)); err == nil || !strings.Contains(err.Error(), want) {
				b.Errorf("%.20s: %v", metadata, err)
			}
		})
	}
}

// Dead letters are kept for months. Decisions are deleted before, and Kafka forgets the
// commits of groups without members after a week.
func TestRedriveWeeksLaterRepeatsNothing(t *testing.T) {
	bulktest.InKafka(t, func(b *bulktest.Kafka) {
		fail(b, bulktest.BackfillTopic, 1, 50, decision.Rejected)
		if _, done := scanAndRun(b, options(b)); done.Handled != 50 {
			b.Fatalf("%+v", done)
		}
		client, err := kgo.NewClient(kgo.SeedBrokers(b.Cluster.Addrs()...), kgo.Dialer(b.Network.DialContext))
		if err != nil {
			b.Fatal(err)
		}
		defer client.Close()
		groups := kmsg.NewPtrListGroupsRequest()
		listed, err := groups.RequestWith(b.Context(), client)
		if err != nil {
			b.Fatal(err)
		}
		for _, g := range listed.Groups {
			if strings.Contains(g.Group, "redrive") {
				b.Errorf("group %s was left", g.Group)
			}
		}
		deleted := kmsg.NewPtrDeleteRecordsRequest()
		topic := kmsg.NewDeleteRecordsRequestTopic()
		topic.Topic = bulktest.BackfillTopic
		for p := range 3 {
			part := kmsg.NewDeleteRecordsRequestTopicPartition()
			part.Partition, part.Offset = int32(p), -1 // to the end
			topic.Partitions = append(topic.Partitions, part)
		}
		deleted.Topics = append(deleted.Topics, topic)
		if _, err := deleted.RequestWith(b.Context(), client); err != nil {
			b.Fatal(err)
		}
		if survey, done := scanAndRun(b, options(b)); survey.Already != 50 || done.Handled != 0 {
			b.Errorf("the second: %+v, %+v", survey, done)
		}
	})
}

// A cluster that gets topic IDs with an upgrade had the topic under its name before.
func TestRedriveCarriesOverWhatHasTheTopicsName(t *testing.T) {
	bulktest.InKafka(t, func(b *bulktest.Kafka) {
		fail(b, bulktest.BackfillTopic, 1, 20, decision.Rejected)
		o := by(b, "before")
		own := ledger.Key{Kind: ledger.KindRedrive, Name: bulktest.LettersTopic}
		w, err := store.Open(b.Context(), o.Ledger, own)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := w.Write(b.Context(), store.Change{Entries: []store.KeyedEntry{
			{Key: own, Entry: ledger.Entry{Window: &ledger.Window{}}},
			{Key: ledger.WindowKey(bulktest.LettersTopic, 0, 0), Entry: ledger.Entry{Window: &ledger.Window{Redriven: []byte{1}, Dismissed: []byte{2}}}},
		}}); err != nil {
			b.Fatal(err)
		}
		for range 2 {
			o := options(b)
			o.Limit = 1
			if survey, done := scanAndRun(b, o); survey.Dismissed != 1 || survey.Already == 0 || done.Handled != 1 {
				b.Errorf("%+v, %+v", survey, done)
			}
		}
	})
}
