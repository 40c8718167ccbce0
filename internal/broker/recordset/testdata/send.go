// Sends with franz-go.
package main

import (
	"context"
	"os"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func producer(o ...kgo.Opt) *kgo.Client {
	c, err := kgo.NewClient(append(o, kgo.SeedBrokers(os.Args[1]), kgo.AllowAutoTopicCreation(), kgo.ProducerLinger(100*time.Millisecond))...)
	must(err)
	return c
}

func send(c *kgo.Client, topic string, headers bool) {
	records := []*kgo.Record{
		{Key: []byte("a"), Value: []byte(strings.Repeat("one ", 50))}, {Value: []byte(strings.Repeat("two ", 50))}, {Key: []byte("c")},
	}
	for _, r := range records {
		r.Topic = topic
		if headers {
			r.Headers = []kgo.RecordHeader{{Key: "h", Value: []byte("v")}, {Key: "none"}}
		}
	}
	must(c.ProduceSync(context.Background(), records...).FirstErr())
}

func main() {
	for name, codec := range map[string]kgo.CompressionCodec{
		"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(), "lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression(),
	} {
		c := producer(kgo.ProducerBatchCompression(codec))
		send(c, "franz-go-"+name, false)
		send(c, "franz-go-"+name, true)
		c.Close()
	}
	c := producer(kgo.DisableIdempotentWrite())
	send(c, "franz-go-plain", false)
	send(c, "franz-go-plain", true)
	c.Close()
	c = producer(kgo.TransactionalID("franz-go"))
	must(c.BeginTransaction())
	send(c, "franz-go-transactions", false)
	must(c.EndTransaction(context.Background(), kgo.TryCommit))
	must(c.BeginTransaction())
	send(c, "franz-go-transactions", true)
	must(c.EndTransaction(context.Background(), kgo.TryAbort))
	c.Close()
}
