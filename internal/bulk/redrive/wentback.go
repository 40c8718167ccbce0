package redrive

import (
	"context"
	"errors"

	"verdict/internal/decision"
	"verdict/internal/ledger/store"
)

// WentBack returns what reports whether a dead letter of a topic went back, by the ledger as
// it is now. Where the ledger knows nothing of the topic yet, each may have.
func WentBack(ctx context.Context, o store.Options, deadLetters string) (func(letter decision.Position) bool, error) {
	id, err := store.TopicID(ctx, o.Connection, deadLetters)
	if err != nil {
		return nil, err
	}
	state, err := store.Read(ctx, o, nil)
	if err != nil && !errors.Is(err, store.ErrMissing) {
		return nil, err
	}
	if err != nil {
		return func(decision.Position) bool { return true }, nil
	}
	if _, known := state.Get(ownerKey(id)); !known {
		return func(decision.Position) bool { return true }, nil
	}
	w := windowsIn(state, id)
	return func(letter decision.Position) bool { return letter.Topic == deadLetters && w.has(redriven, letter) }, nil
}
