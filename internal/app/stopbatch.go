package app

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"verdict/internal/ledger"
	"verdict/internal/ledger/store"
	"verdict/internal/retry"
	"verdict/processor"
)

// maxStops bounds the batches that wait for the ledger to say that they are held. Beyond it
// only this instance holds them.
const maxStops = 100

// stopTimeout bounds one try at having a batch held.
const stopTimeout = 2 * time.Minute

// stopBatches has the group hold the batches that stop by themselves, until ctx ends. This
// instance holds them already.
func (o *orders) stopBatches(ctx context.Context) error {
	for {
		select {
		case stop := <-o.stops:
			o.stopBatch(ctx, stop)
		case <-ctx.Done():
			return nil
		}
	}
}

func (o *orders) stopBatch(ctx context.Context, stop processor.Stop) {
	why := fmt.Sprintf("%d of the first %d decisions that ended on %s were dead-lettered, more than the %v%% that it was to stop at",
		stop.DeadLettered, stop.Settled, o.options.Author.Actor, 100*stop.At)
	o.log.Error("a batch is held because too many of its decisions are dead-lettered (verdict resume lets it go on)",
		"batch_id", stop.Batch, "settled", stop.Settled, "dead_letters", stop.DeadLettered, "stop_at", stop.At)
	if o.options.Trusted != nil {
		o.log.Warn("only this instance holds the batch, since it can't sign (control.trusted_keys_file); hold it for the others: verdict hold", "batch_id", stop.Batch)
		return
	}
	again := retry.Policy{Min: time.Second, Max: time.Minute}
	for n := 1; ; n++ {
		err := o.writeHold(ctx, stop, why)
		if err == nil {
			return
		}
		o.log.Warn("the ledger does not say yet that a batch is held; trying again", "batch_id", stop.Batch, "err", err)
		if retry.Sleep(ctx, again.Backoff(n)) != nil {
			return
		}
	}
}

func (o *orders) writeHold(ctx context.Context, stop processor.Stop, why string) error {
	ctx, cancel := context.WithTimeout(ctx, stopTimeout)
	defer cancel()
	options, key := o.options, ledger.HoldBatch(stop.Batch)
	options.Author.Command, options.Author.Why = "stop-at", why
	w, err := store.Open(ctx, options, key)
	if err != nil {
		return err
	}
	hold := w.State().Hold(key)
	if hold.Held {
		return nil
	}
	hold.Held = true
	_, err = w.Write(ctx, store.Change{
		Entries: []store.KeyedEntry{{Key: key, Entry: ledger.Entry{Hold: &hold}}},
		Acts: []ledger.Act{{Key: key.In(options.Group), Details: map[string]string{
			"target": "batch " + stop.Batch, "settled": strconv.Itoa(stop.Settled), "dead_lettered": strconv.Itoa(stop.DeadLettered),
		}}},
	})
	return err
}
