package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync/atomic"

	"verdict/internal/app"
	"verdict/internal/broker"
	"verdict/internal/bulk/rows"
)

// demoInput is the source of the demo's decisions.
type demoInput struct {
	next  func() (rows.Row, error) // io.EOF after the last
	total int64                    // -1: not known before the end
	close func()
}

// openDemoInput opens the file of --file, or generates decisions.
func openDemoInput(o demoOptions, stdin io.Reader) (demoInput, error) {
	if o.file == "" {
		g, err := rows.NewGenerator(rows.GeneratorOptions{BatchID: "demo"})
		left := o.decisions
		return demoInput{total: int64(o.decisions), close: func() {}, next: func() (rows.Row, error) {
			if left == 0 {
				return rows.Row{}, io.EOF
			}
			left--
			return g.Next()
		}}, err
	}
	source, name := stdin, "standard input"
	f := io.NopCloser(stdin)
	if o.file != rows.Stdin {
		file, err := os.Open(o.file)
		if err != nil {
			return demoInput{}, err
		}
		f, name, source = file, o.file, file
		if info, err := file.Stat(); err == nil && info.Mode().IsRegular() {
			source = io.NewSectionReader(file, 0, info.Size()) // for workbooks
		}
	}
	reader, err := rows.NewReader(source, rows.Options{})
	if err != nil {
		f.Close()
		return demoInput{}, fmt.Errorf("read %s: %w", name, err)
	}
	return demoInput{next: reader.Next, total: -1, close: func() { reader.Close(); f.Close() }}, nil
}

// submitRows publishes every row to the live topic unchanged, invalid rows too.
func (d *demo) submitRows(ctx context.Context, in demoInput, submitted *atomic.Int64) error {
	connection, err := app.Connect(d.cfg.Kafka, nil)
	if err != nil {
		return err
	}
	defer connection.Close()
	publisher := broker.NewPublisher(broker.PublisherOptions{Client: connection.Client()})
	for {
		row, err := in.next()
		if errors.Is(err, io.EOF) {
			return publisher.Close(ctx)
		}
		if err != nil {
			return errors.Join(fmt.Errorf("read the decisions: %w", err), publisher.Close(ctx))
		}
		if row.Blank {
			continue
		}
		if row.Value == nil {
			d.log.Warn("skipping a line that is too long", "line", row.Line, "err", row.Fault)
			continue
		}
		err = publisher.Publish(ctx, row.Record(d.cfg.Kafka.Topics.Decisions), func(err error) {
			if err == nil {
				submitted.Add(1)
			}
		})
		if err != nil {
			return errors.Join(err, publisher.Close(ctx))
		}
	}
}
