package broker_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"verdict/internal/broker"
	"verdict/internal/broker/embedded"
	"verdict/internal/decision"

	"github.com/segmentio/kafka-go"
)

func TestTransactionIsSeenAllTogether(t *testing.T) {
	inWorld(t, ledgerTopics(3), func(w *world) {
		conn, tap := w.tapped()
		tx := w.takeOver(conn)
		mustWrite(w.t, tx, w.rows(0, 100))
		checked := false
		tap.onNth(embedded.EndTxn, 1, func() tapAct {
			w.wantWritten(100) // all is stored, and nothing committed
			checked = true
			return pass
		})
		mustWrite(w.t, tx, w.rows(100, 250))
		if !checked {
			w.t.Error("no EndTxn was seen")
		}
		w.wantWritten(250)
	})
}

func TestTransactionKeepsRecordsAndTheirPlaces(t *testing.T) {
	inWorld(t, ledgerTopics(1), func(w *world) {
		p, calls := w.publisher(broker.PublisherOptions{})
		at := time.Date(2026, 3, 1, 12, 0, 0, 5e6, time.UTC)
		records := []decision.Record{
			{
				Topic: "rows", Partition: 2, Key: []byte{0, 0xff}, Value: []byte("v\x00"), Time: at,
				Headers: []decision.Header{{Key: "a", Value: []byte("1")}, {Key: "a", Value: nil}, {Key: "", Value: []byte{}}},
			},
			{Topic: "control", Key: []byte("tombstone")},
			{Topic: "rows", Partition: 2, Key: []byte{}, Value: []byte{}, Time: at.Add(-time.Hour)},
		}
		for i := range 20 { // as the publisher places them
			rec := record("rows", fmt.Sprint(i), fmt.Sprint("published ", i))
			w.publish(p, calls, rec)
			rec.Partition, rec.Value = broker.ByKey, fmt.Append(nil, "written ", i)
			records = append(records, rec)
		}
		mustClose(w.t, p)
		tx := w.takeOver(w.conn)
		placed := mustWrite(w.t, tx, records)
		again := mustWrite(w.t, tx, records[:1])
		found, partitions := map[decision.Position]decision.Record{}, map[string]int{}
		for _, topic := range []string{"rows", "control"} {
			if err := w.conn.Scan(w.t.Context(), broker.ScanOptions{Topic: topic}, func(rec decision.Record) error {
				found[rec.Origin()], partitions[string(rec.Value)] = rec, rec.Partition
				return nil
			}); err != nil {
				w.t.Fatal(err)
			}
		}
		for i, place := range append(placed, again...) {
			want := records[i%len(records)]
			got, ok := found[place]
			if want.Time.IsZero() {
				want.Time = time.Now()
			}
			if !ok || got.Topic != want.Topic || string(got.Key) != string(want.Key) || (got.Key == nil) != (want.Key == nil) ||
				string(got.Value) != string(want.Value) || (got.Value == nil) != (want.Value == nil) || !got.Time.Equal(want.Time) ||
				len(got.Headers) != len(want.Headers) || want.Partition >= 0 && got.Partition != want.Partition {
				w.t.Errorf("record %d at %s is %+v, want %+v", i, place, got, want)
			}
		}
		for i := range 20 {
			if published, written := partitions[fmt.Sprint("published ", i)], partitions[fmt.Sprint("written ", i)]; published != written {
				w.t.Errorf("key %d: published to %d, written to %d", i, published, written)
			}
		}
	})
}

func TestTransactionSpreadsRecordsWithoutKey(t *testing.T) {
	inWorld(t, ledgerTopics(1), func(w *world) {
		tx := w.takeOver(w.conn)
		seen := map[int]bool{}
		for range 4 {
			seen[mustWrite(w.t, tx, []decision.Record{{Topic: "rows", Partition: broker.ByKey}})[0].Partition] = true
		}
		if len(seen) != 4 {
			w.t.Errorf("went to the partitions %v, want all 4", seen)
		}
		if placed, err := tx.Write(w.t.Context(), nil); err != nil || placed != nil {
			w.t.Errorf("nothing: %v, %v", placed, err)
		}
	})
}

// steps are the requests of a Write, in order.
var steps = map[string]embedded.API{"begin": embedded.AddPartitionsToTxn, "store": embedded.Produce, "commit": embedded.EndTxn}

// A machine that stood still before any of its requests finds its ID taken over.
func TestFencedTransactionWritesNothing(t *testing.T) {
	for name, api := range steps {
		t.Run(name, func(t *testing.T) {
			inWorld(t, ledgerTopics(1), func(w *world) {
				conn, tap := w.tapped()
				before := w.takeOver(conn)
				mustWrite(w.t, before, w.rows(0, 10))
				tap.onNth(api, 1, func() tapAct {
					tap.onEach(nil)
					after := w.takeOver(w.conn)
					if n := w.checkpoint(); n != 10 {
						w.t.Errorf("the checkpoint is %d after the takeover, want 10", n)
					}
					mustWrite(w.t, after, w.rows(10, 30))
					return pass
				})
				_, err := before.Write(w.t.Context(), w.rows(10, 20))
				wantErrorIs(w.t, err, broker.ErrFenced)
				w.wantWritten(30)

				requests := 0
				tap.onEach(func(embedded.API) tapAct { requests++; return pass })
				_, err = before.Write(w.t.Context(), w.rows(10, 20))
				wantErrorIs(w.t, err, broker.ErrFenced)
				if requests != 0 {
					w.t.Errorf("%d requests by what has ended", requests)
				}
				w.wantWritten(30)
			})
		})
	}
}

// While leaders and coordinators move, every step finds the new ones.
func TestTransactionFollowsMoves(t *testing.T) {
	all := map[string]embedded.API{"take over": embedded.InitProducerID}
	maps.Copy(all, steps)
	for name, api := range all {
		t.Run(name, func(t *testing.T) {
			inWorld(t, ledgerTopics(3), func(w *world) {
				conn, tap := w.tapped()
				move := func() tapAct {
					w.cluster.MoveLeaders()
					w.cluster.MoveCoordinators()
					return pass
				}
				tap.onNth(api, 1, move)
				tx := w.takeOver(conn)
				for i := range 10 {
					tap.onNth(api, 1, move)
					mustWrite(w.t, tx, w.rows(10*i, 10*i+10))
				}
				w.wantWritten(100)
			})
		})
	}
}

// Each request fails at each step, before or after it was carried out. The caller does what
// submit will do: after an error it takes over and goes on from the checkpoint.
func TestTransactionsLoseAndRepeatNothing(t *testing.T) {
	type failure struct {
		name string
		act  tapAct
		code kafka.Error
	}
	failures := []failure{{name: "lost", act: lose}, {name: "answer lost", act: loseAnswer}}
	for _, code := range []kafka.Error{
		kafka.NotCoordinatorForGroup, kafka.GroupCoordinatorNotAvailable, kafka.GroupLoadInProgress, kafka.ConcurrentTransactions,
		kafka.NotLeaderForPartition, kafka.NotEnoughReplicas, kafka.NotEnoughReplicasAfterAppend, kafka.RequestTimedOut,
		kafka.UnknownTopicOrPartition, kafka.Unknown,
		// These end the transaction.
		kafka.OutOfOrderSequenceNumber, kafka.DuplicateSequenceNumber, kafka.UnknownProducerId, kafka.InvalidProducerEpoch,
		kafka.ProducerFenced, kafka.InvalidProducerIDMapping, kafka.InvalidTransactionState,
		kafka.TopicAuthorizationFailed, kafka.TransactionalIDAuthorizationFailed, kafka.MessageSizeTooLarge, kafka.InvalidRecord,
	} {
		failures = append(failures, failure{name: code.Title(), code: code})
	}
	for api, requests := range map[embedded.API]int{
		embedded.InitProducerID: 1, embedded.FindCoordinator: 3, embedded.AddPartitionsToTxn: 2, embedded.Produce: 5, embedded.EndTxn: 2,
	} {
		for _, f := range failures {
			for nth := range requests {
				t.Run(fmt.Sprint(api, " ", f.name, " ", nth), func(t *testing.T) {
					inWorld(t, ledgerTopics(1), func(w *world) {
						conn, tap := w.tapped()
						failed := false
						tap.onNth(api, nth+1, func() tapAct {
							failed = true
							if f.code != 0 {
								w.cluster.Inject(embedded.Fault{API: api, Code: int(f.code), Times: 1})
							}
							return f.act
						})
						began := time.Now()
						w.writeAll(conn, 60)
						if !failed {
							w.t.Error("nothing failed")
						}
						if d := time.Since(began); d > time.Minute {
							w.t.Errorf("it took %v", d)
						}
						w.wantWritten(60)
					})
				})
			}
		}
	}
}

// The records of an aborted transaction hold back no reader.
func TestFailedTransactionIsAborted(t *testing.T) {
	for name, test := range map[string]struct {
		fail func(w *world, cancel func()) tapAct
		want error
	}{
		"refused": {func(w *world, _ func()) tapAct {
			w.cluster.Inject(embedded.Fault{API: embedded.Produce, Topic: "rows", Code: int(kafka.InvalidRecord), Times: 1})
			return pass
		}, kafka.InvalidRecord},
		"given up":              {func(_ *world, cancel func()) tapAct { cancel(); return pass }, context.Canceled},
		"given up in an outage": {func(_ *world, cancel func()) tapAct { cancel(); return lose }, context.Canceled},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, ledgerTopics(1), func(w *world) {
				conn, tap := w.tapped()
				tx := w.takeOver(conn)
				ctx, cancel := context.WithCancel(w.t.Context())
				defer cancel()
				tap.onNth(embedded.Produce, 3, func() tapAct { return test.fail(w, cancel) })
				began := time.Now()
				_, err := tx.Write(ctx, w.rows(0, 100))
				wantErrorIs(w.t, err, test.want)
				if d := time.Since(began); d > time.Second {
					w.t.Errorf("it took %v", d)
				}
				for partition := range 4 {
					if _, err := w.conn.Append(w.t.Context(), "rows", partition, []decision.Record{{Value: []byte("seen")}}); err != nil {
						w.t.Fatal(err)
					}
				}
				if got := w.committed("rows"); !slices.Equal(got, []string{"seen", "seen", "seen", "seen"}) {
					w.t.Errorf("committed %q, want what came behind the aborted records", got)
				}
			})
		})
	}
}

// More is aborted than one answer to a reader holds.
func TestManyAbortedRecordsAreLeftOut(t *testing.T) {
	inWorld(t, ledgerTopics(1), func(w *world) {
		conn, tap := w.tapped()
		var records []decision.Record
		for i := range 1000 {
			records = append(records, record("rows", fmt.Sprint(i), strings.Repeat("x", 1000)))
		}
		for range 5 {
			ctx, cancel := context.WithCancel(w.t.Context())
			tap.onNth(embedded.Produce, 1, func() tapAct { cancel(); return pass })
			if _, err := w.takeOver(conn).Write(ctx, records); !errors.Is(err, context.Canceled) {
				w.t.Errorf("written with %v", err)
			}
			tap.onEach(nil)
		}
		mustWrite(w.t, w.takeOver(conn), []decision.Record{record("rows", "", "seen")})
		if got := w.committed("rows"); !slices.Equal(got, []string{"seen"}) {
			w.t.Errorf("committed %d records, want 1", len(got))
		}
	})
}

// A batch that reached its leader only after the abort would begin another transaction
// there, in older brokers, and hold back its readers for good.
func TestAbortWaitsForWhatIsOnItsWay(t *testing.T) {
	inWorld(t, ledgerTopics(1), func(w *world) {
		conn, tap := w.tapped()
		tx := w.takeOver(conn)
		w.cluster.Inject(embedded.Fault{API: embedded.Produce, Topic: "control", Code: int(kafka.InvalidRecord)})
		ctx, cancel := context.WithCancel(w.t.Context())
		defer cancel()
		var onTheirWay atomic.Int32
		ended := false
		tap.onEach(func(api embedded.API) tapAct {
			if api == embedded.Produce {
				onTheirWay.Add(1)
				time.Sleep(5 * time.Second)
				cancel()
				time.Sleep(time.Second)
				onTheirWay.Add(-1)
			}
			if api == embedded.EndTxn {
				ended = true
				if n := onTheirWay.Load(); n != 0 {
					w.t.Errorf("aborted while %d batches are on their way", n)
				}
			}
			return pass
		})
		if _, err := tx.Write(ctx, w.rows(0, 100)); err == nil || !ended {
			w.t.Errorf("written with %v, aborted: %v", err, ended)
		}
	})
}

func TestCommitIsWaitedFor(t *testing.T) {
	inWorld(t, ledgerTopics(1), func(w *world) {
		conn, tap := w.tapped()
		tx := w.takeOver(conn)
		ctx, cancel := context.WithCancel(w.t.Context())
		tap.onNth(embedded.EndTxn, 1, func() tapAct { cancel(); return lose })
		if _, err := tx.Write(ctx, w.rows(0, 10)); err != nil {
			w.t.Error(err)
		}
		w.wantWritten(10)
	})
}

// A coordinator that does not answer at the commit leaves it open what happened, and until
// the cluster ends the transaction by itself, readers wait.
func TestTransactionTimesOut(t *testing.T) {
	inWorld(t, ledgerTopics(1), func(w *world) {
		conn, tap := w.tapped()
		tx := w.takeOver(conn)
		release := make(chan struct{})
		tap.onEach(func(api embedded.API) tapAct {
			if api == embedded.EndTxn {
				<-release
			}
			return pass
		})
		began := time.Now()
		_, err := tx.Write(w.t.Context(), w.rows(0, 10))
		if d := time.Since(began); err == nil || d > 56*time.Second {
			w.t.Errorf("written with %v after %v, want an error within the transaction's minute", err, d)
		}
		if _, err := w.conn.Append(w.t.Context(), "control", 0, []decision.Record{{Value: []byte("7")}}); err != nil {
			w.t.Fatal(err)
		}
		if n := w.checkpoint(); n != 0 {
			w.t.Errorf("the checkpoint is %d behind an open transaction, want none", n)
		}
		time.Sleep(time.Until(began.Add(62 * time.Second)))
		if n := w.checkpoint(); n != 7 {
			w.t.Errorf("the checkpoint is %d, want the 7 that was behind the transaction", n)
		}
		close(release) // the commits arrive
		time.Sleep(time.Second)
		if got := w.committed("rows"); len(got) != 0 {
			w.t.Errorf("committed %q, want nothing of a transaction that timed out", got)
		}
		mustWrite(w.t, w.takeOver(w.conn), w.rows(0, 10))
		w.wantWritten(10)
	})
}

func TestWriteEndsBeforeItsTransactionTimesOut(t *testing.T) {
	for name, api := range steps {
		t.Run(name, func(t *testing.T) {
			inWorld(t, ledgerTopics(3), func(w *world) {
				conn, tap := w.tapped()
				tx := w.takeOver(conn)
				tap.onNth(api, 1, func() tapAct { w.network.Cut(); return lose })
				began := time.Now()
				_, err := tx.Write(w.t.Context(), w.rows(0, 10))
				if d := time.Since(began); err == nil || d > 56*time.Second {
					w.t.Errorf("written with %v after %v, want an error within 56s", err, d)
				}
				w.network.Mend()
				w.writeAll(conn, 20)
				w.wantWritten(20)
			})
		})
	}
}

// An outage takes up most of the time to store, and the next one all of the time to commit.
func TestWriteEndsInTimeAfterTwoOutages(t *testing.T) {
	inWorld(t, ledgerTopics(3), func(w *world) {
		conn, tap := w.tapped()
		tx := w.takeOver(conn)
		began, committing := time.Now(), time.Duration(0)
		tap.onEach(func(api embedded.API) tapAct {
			if api == embedded.Produce && time.Since(began) < 18*time.Second {
				return lose
			}
			if api == embedded.EndTxn {
				committing = time.Since(began)
				w.network.Cut()
				return lose
			}
			return pass
		})
		_, err := tx.Write(w.t.Context(), w.rows(0, 10))
		if d := time.Since(began); err == nil || committing < 18*time.Second || d > 56*time.Second {
			w.t.Errorf("written with %v after %v, the commit after %v; want an error within 56s", err, d, committing)
		}
		w.network.Mend()
		tap.onEach(nil)
		w.writeAll(conn, 20)
		w.wantWritten(20)
	})
}

// A commit that is still under way when its repetition has succeeded would commit half of
// the next transaction.
func TestLateCommitEndsNoOtherTransaction(t *testing.T) {
	inWorld(t, ledgerTopics(1), func(w *world) {
		conn, tap := w.tapped()
		tx := w.takeOver(conn)
		release := make(chan struct{})
		tap.onNth(embedded.EndTxn, 1, func() tapAct { <-release; return pass })
		mustWrite(w.t, tx, w.rows(0, 10))
		tap.onNth(embedded.Produce, 1, func() tapAct {
			close(release)
			time.Sleep(time.Second)
			return lose
		})
		if _, err := tx.Write(w.t.Context(), w.rows(10, 20)); err == nil {
			w.t.Error("written by what may not write any more")
		} else if strings.Contains(err.Error(), broker.ErrFenced.Error()) {
			w.t.Errorf("nobody has taken over: %v", err)
		}
		w.wantWritten(10)
		w.writeAll(conn, 30)
		w.wantWritten(30)
	})
}

// A takeover waits until the coordinator has ended what was left.
func TestTakeoverWaits(t *testing.T) {
	for _, code := range []kafka.Error{kafka.ConcurrentTransactions, kafka.GroupLoadInProgress, kafka.NotCoordinatorForGroup} {
		t.Run(code.Title(), func(t *testing.T) {
			inWorld(t, ledgerTopics(1), func(w *world) {
				fault := w.cluster.Inject(embedded.Fault{API: embedded.InitProducerID, Code: int(code)})
				begun := make(chan struct{})
				go func() {
					time.Sleep(3 * time.Minute)
					fault.Lift()
					close(begun)
				}()
				mustWrite(w.t, w.takeOver(w.conn), w.rows(0, 10))
				<-begun
				w.wantWritten(10)

				w.cluster.Inject(embedded.Fault{API: embedded.InitProducerID, Code: int(code)})
				ctx, cancel := context.WithTimeout(w.t.Context(), time.Minute)
				defer cancel()
				_, err := w.conn.NewTransactional(ctx, "batch")
				wantErrorIs(w.t, err, context.DeadlineExceeded)
				wantErrorIs(w.t, err, code)
			})
		})
	}
}

func TestTakeoverSaysWhatIsNotAllowed(t *testing.T) {
	inWorld(t, ledgerTopics(1), func(w *world) {
		w.cluster.Inject(embedded.Fault{API: embedded.InitProducerID, Code: int(kafka.TransactionalIDAuthorizationFailed), Times: 1})
		_, err := w.conn.NewTransactional(w.t.Context(), "batch")
		wantErrorIs(w.t, err, kafka.TransactionalIDAuthorizationFailed)
		if !strings.Contains(fmt.Sprint(err), "take over transactional ID batch") || !strings.Contains(fmt.Sprint(err), "have the right") {
			w.t.Errorf("%v names neither the ID nor the cause", err)
		}
		_, err = w.takeOver(w.conn).Write(w.t.Context(), []decision.Record{{Topic: "none", Partition: broker.ByKey}})
		wantErrorIs(w.t, err, broker.ErrNoTopic)
	})
}

func TestTransactionsOfManyBatches(t *testing.T) {
	inWorld(t, embedded.Options{Brokers: 3, Topics: map[string]int{"rows": 12, "control": 1}}, func(w *world) {
		conn, tap := w.tapped()
		tx := w.takeOver(conn)
		const n = 20_000
		records := w.rows(0, n)
		for i := range records[:n] {
			// 80 MB, so that each partition takes several batches.
			records[i].Headers = []decision.Header{{Key: "padding", Value: make([]byte, rand.IntN(8000))}}
		}
		tap.onEach(func(api embedded.API) tapAct {
			if api == embedded.Produce {
				return []tapAct{pass, pass, pass, pass, lose, loseAnswer}[rand.IntN(6)]
			}
			return pass
		})
		mustWrite(w.t, tx, records)
		w.wantWritten(n)
	})
}

func TestTransactionAtTheLimits(t *testing.T) {
	for name, limits := range map[string]map[string]string{"of a broker": nil, "of a topic": {"max.message.bytes": "20000"}} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, ledgerTopics(1), func(w *world) {
				if err := w.cluster.CreateTopic("large", 1, limits); err != nil {
					w.t.Fatal(err)
				}
				limit := 1 << 20
				if limits != nil {
					limit = 20000
				}
				record := func(size int) decision.Record {
					return decision.Record{Topic: "large", Value: make([]byte, size)}
				}
				mustWrite(w.t, w.takeOver(w.conn), []decision.Record{record(limit - 200), record(1), record(limit / 2), record(limit / 2), record(limit - 200)})
				if got := w.committed("large"); len(got) != 5 || len(got[1]) != 1 {
					w.t.Errorf("%d records committed, want 5 in order", len(got))
				}
				_, err := w.takeOver(w.conn).Write(w.t.Context(), []decision.Record{record(1), record(limit)})
				wantErrorIs(w.t, err, decision.ErrTooLarge)
				if got := len(w.committed("large")); got != 5 {
					w.t.Errorf("%d records committed, want 5", got)
				}
			})
		})
	}
}

// Readers of a ledger's partition must not wait until all rows are stored.
func TestTransactionStoresTheLastRecordsLast(t *testing.T) {
	inWorld(t, ledgerTopics(3), func(w *world) {
		conn, tap := w.tapped()
		tx := w.takeOver(conn)
		rows := w.rows(0, 300)
		rows, last := rows[:300], rows[300]
		checked := 0
		tap.onNth(embedded.Produce, 4, func() tapAct { // of five
			ends, err := w.conn.LogEnds(w.t.Context(), "control")
			if err != nil || ends[0] != 0 {
				w.t.Errorf("the control topic ends at %v (%v) before all rows are stored", ends, err)
			}
			checked++
			return pass
		})
		placed, err := tx.Write(w.t.Context(), rows, last)
		if err != nil || len(placed) != 301 || placed[300].Topic != last.Topic {
			w.t.Errorf("placed %d records, %v", len(placed), err)
		}
		if checked == 0 {
			w.t.Error("no Produce was seen")
		}
	})
}
