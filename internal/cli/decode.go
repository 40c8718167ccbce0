package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"verdict/configs"
	"verdict/internal/app"
	"verdict/internal/decision"
	"verdict/internal/decision/codec"
	"verdict/internal/term"
)

// recordReader reads the decisions of records in the formats that the service reads, for
// a command that looks for some of them. It is used by one goroutine.
type recordReader struct {
	ctx     context.Context // of the command; a look-up of a schema waits until it ends
	decoder *codec.Decoder

	// unread are the records in the format of a Schema Registry that could not be read, at
	// most maxUnread of them: some are read twice.
	unread map[decision.Position]struct{}
	first  error // why, of the first of them
}

const maxUnread = 10_000

func newRecordReader(ctx context.Context, cfg configs.Decode, log *slog.Logger) (*recordReader, error) {
	decoder, err := app.NewDecoder(cfg, codec.Options{Logger: log})
	if err != nil {
		return nil, err
	}
	return &recordReader{ctx: ctx, decoder: decoder, unread: make(map[decision.Position]struct{})}, nil
}

// read returns the decision of a record; with an error, what can be read of it.
func (r *recordReader) read(rec *decision.Record) (decision.Decision, error) {
	d, err := r.decoder.Decode(r.ctx, rec)
	if err != nil && r.ctx.Err() == nil && r.decoder.IsFramed(rec) {
		if r.first == nil {
			r.first = fmt.Errorf("%v: %w", rec.Origin(), err)
		}
		if len(r.unread) < maxUnread {
			r.unread[rec.Origin()] = struct{}{}
		}
	}
	return d, err
}

// close closes the connections to the registry. It adds to the command's error that records
// could not be read: what the command says may leave some of them out.
func (r *recordReader) close(err error) error {
	r.decoder.Close()
	if r.first == nil || r.ctx.Err() != nil {
		return err
	}
	n := term.Plural(int64(len(r.unread)), "record")
	if len(r.unread) == maxUnread {
		n += " or more"
	}
	unread := errors.New(decision.OneLine(fmt.Sprintf("%s could not be read and may be missing here; the first is %v", n, r.first), 500))
	if err != nil {
		return fmt.Errorf("%w; %w", err, unread)
	}
	return unread
}
