package check

import (
	"context"
	"errors"

	"verdict/internal/app"
	"verdict/internal/ledger"
	"verdict/internal/ledger/store"
)

// ledger checks the topic in which people's commands to run are, and the files of keys. run
// works without the topic, but then obeys nobody.
func (k *kafkaCheck) ledger(ctx context.Context, addr string) {
	ctx, cancel := k.bounded(ctx)
	defer cancel()
	o, err := app.Ledger(k.cfg, k.connection, ledger.Author{})
	if err != nil {
		k.fail("ledger", err.Error(), "correct the files of keys, or make a pair with verdict key new")
		return
	}
	switch err := store.Check(ctx, o); {
	case errors.Is(err, store.ErrMissing):
		k.warn("ledger", "the topic "+o.Control+" does not exist, so that holds, cancels and other rates are off", "create it (verdict topics), or correct kafka.topics.control")
		return
	case err != nil:
		k.fail("ledger", err.Error(), "see kafka.topics.control")
		return
	}
	k.ok("ledger", "topic "+o.Control)
	probe, err := k.connection.OpenProbe(ctx, addr)
	if err != nil {
		k.failErr("ledger/rights", err)
		return
	}
	defer probe.Close()
	k.right("rights/read/"+o.Control, probe.MayRead(o.Control), "give the Kafka user READ and DESCRIBE on the topic "+o.Control)
	k.right("rights/write/"+o.Control, probe.MayWrite(o.Control), "give the Kafka user WRITE and DESCRIBE on the topic "+o.Control+", in which instances say how they are")
}
