package broker_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"verdict/internal/broker"
	"verdict/internal/broker/embedded"
	"verdict/internal/decision"

	"github.com/segmentio/kafka-go"
)

// worldInKafka returns a world in the real cluster, with topics and a transactional ID that
// no other run has used.
func worldInKafka(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, conn: connectToKafka(t), prefix: fmt.Sprintf("transactions-%d-", time.Now().UnixNano())}
	topics := []broker.Topic{{Name: w.prefix + "rows", Partitions: 4}, {Name: w.prefix + "control", Partitions: 1}}
	if _, err := broker.Create(withTimeout(t), w.conn.Client(), topics); err != nil {
		t.Fatal(err)
	}
	w.awaitTopics(w.conn)
	return w
}

// awaitTopics waits until a connection knows the topics, which a broker learns a little
// after they were created.
func (w *world) awaitTopics(conn *broker.Connection) {
	w.t.Helper()
	ctx := withTimeout(w.t)
	for _, topic := range []string{"rows", "control"} {
		for {
			_, err := conn.Bounds(ctx, w.prefix+topic)
			if err == nil {
				break
			}
			if ctx.Err() != nil {
				w.t.Fatal(err)
			}
			time.Sleep(100 * time.Millisecond)
		}
	}
}

func TestKafkaTransactionsAreSeenAllTogether(t *testing.T) {
	w := worldInKafka(t)
	conn, tap := w.tapped()
	tx := w.takeOver(conn)
	placed := map[decision.Position]string{}
	for i := range 10 {
		tap.onNth(embedded.EndTxn, 1, func() tapAct {
			if n := len(w.committed("rows")); n > 100*i {
				t.Errorf("%d rows are seen before the commit, want %d", n, 100*i)
			}
			return pass
		})
		records := w.rows(100*i, 100*i+100)
		for j, place := range mustWrite(t, tx, records) {
			placed[place] = string(records[j].Value)
		}
	}
	tap.onEach(nil)
	w.takeOver(conn) // waits for the last markers
	w.wantWritten(1000)
	if err := w.conn.Scan(t.Context(), broker.ScanOptions{Topic: w.prefix + "rows"}, func(rec decision.Record) error {
		if placed[rec.Origin()] != string(rec.Value) {
			t.Errorf("%s is %s, and was reported as %q", rec.Origin(), rec.Value, placed[rec.Origin()])
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
}

func TestKafkaFencesTheOneThatStoodStill(t *testing.T) {
	for name, api := range steps {
		t.Run(name, func(t *testing.T) {
			w := worldInKafka(t)
			conn, tap := w.tapped()
			before := w.takeOver(conn)
			mustWrite(t, before, w.rows(0, 10))
			tap.onNth(api, 1, func() tapAct {
				tap.onEach(nil)
				after := w.takeOver(w.conn)
				if n := w.checkpoint(); n != 10 {
					t.Errorf("the checkpoint is %d after the takeover, want 10", n)
				}
				mustWrite(t, after, w.rows(10, 30))
				return pass
			})
			_, err := before.Write(t.Context(), w.rows(10, 20))
			wantErrorIs(t, err, broker.ErrFenced)
			w.takeOver(w.conn)
			w.wantWritten(30)
		})
	}
}

func TestKafkaTransactionsLoseAndRepeatNothing(t *testing.T) {
	for _, api := range []embedded.API{embedded.InitProducerID, embedded.FindCoordinator, embedded.AddPartitionsToTxn, embedded.Produce, embedded.EndTxn} {
		for name, act := range map[string]tapAct{"lost": lose, "answer lost": loseAnswer} {
			t.Run(fmt.Sprint(api, " ", name), func(t *testing.T) {
				w := worldInKafka(t)
				conn, tap := w.tapped()
				tap.onNth(api, 1, func() tapAct { return act })
				w.writeAll(conn, 60)
				w.takeOver(conn)
				w.wantWritten(60)
			})
		}
	}
}

// What is aborted holds back no reader, and neither does what was written to a leader only
// after that.
func TestKafkaAbortsAtOnce(t *testing.T) {
	w := worldInKafka(t)
	conn, tap := w.tapped()
	tx := w.takeOver(conn)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	tap.onNth(embedded.Produce, 2, func() tapAct { cancel(); return pass })
	_, err := tx.Write(ctx, w.rows(0, 100))
	wantErrorIs(t, err, context.Canceled)
	began := time.Now()
	mustWrite(t, w.takeOver(conn), w.rows(0, 100))
	w.takeOver(conn)
	w.wantWritten(100)
	if d := time.Since(began); d > 20*time.Second {
		t.Errorf("seen after %v", d)
	}
}

func TestKafkaTransactionAtTheLimits(t *testing.T) {
	w := worldInKafka(t)
	record := func(size int) decision.Record {
		return decision.Record{Topic: w.prefix + "control", Value: make([]byte, size)}
	}
	tx := w.takeOver(w.conn)
	mustWrite(t, tx, []decision.Record{record(1<<20 - 200), record(1 << 19), record(1 << 19), record(1)})
	_, err := tx.Write(t.Context(), []decision.Record{record(1 << 20)})
	wantErrorIs(t, err, decision.ErrTooLarge)
	w.takeOver(w.conn)
	if got := len(w.committed("control")); got != 4 {
		t.Errorf("%d records are seen, want 4", got)
	}
}

// The node that coordinates the transactions is killed while one is stored and not yet
// committed, and again when it has been told to commit and its answer is lost. The brokers
// take nine seconds to notice.
func TestKafkaCommitsThoughItsCoordinatorIsKilled(t *testing.T) {
	data := os.Getenv("VERDICT_TEST_NODES")
	if data == "" || !strings.Contains(os.Getenv("VERDICT_TEST_BROKERS"), ",") {
		t.Skip("needs three nodes of a real Kafka: make test-kafka-3")
	}
	for name, act := range map[string]tapAct{"before the commit": pass, "after the commit": loseAnswer} {
		t.Run(name, func(t *testing.T) {
			w := worldInKafka(t)
			conn, tap := w.tapped()
			tx := w.takeOver(conn)
			mustWrite(t, tx, w.rows(0, 1000))
			kafkaSh := func(args ...string) {
				out, err := exec.CommandContext(context.Background(), "../../test/kafka/kafka.sh", append(args, "--data", data)...).CombinedOutput()
				if err != nil {
					t.Errorf("kafka.sh %s: %v\n%s", args, err, out)
				}
			}
			killed := ""
			kill := func() {
				found, err := w.conn.Client().FindCoordinator(withTimeout(t), &kafka.FindCoordinatorRequest{
					Key: w.prefix + "batch", KeyType: kafka.CoordinatorKeyTypeTransaction,
				})
				if err != nil || found.Error != nil {
					t.Errorf("find the coordinator: %v, %+v", err, found)
					return
				}
				killed = fmt.Sprint(found.Coordinator.NodeID)
				kafkaSh("kill-node", killed)
			}
			tap.onNth(embedded.EndTxn, 1, func() tapAct {
				if act == pass {
					kill()
				} else {
					time.AfterFunc(10*time.Millisecond, kill)
				}
				return act
			})
			began := time.Now()
			_, err := tx.Write(t.Context(), w.rows(1000, 2000))
			t.Logf("node %s was killed; written with %v after %v", killed, err, time.Since(began).Round(time.Second))
			if err != nil {
				t.Error(err)
			}
			w.takeOver(conn)
			w.wantWritten(2000)
			if killed != "" {
				kafkaSh("start-node", killed)
			}
		})
	}
}
