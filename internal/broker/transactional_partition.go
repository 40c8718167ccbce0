package broker

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"math"

	"verdict/internal/decision"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
)

var errNoOffset = errors.New("the leader's answer has no offset")

// transactionPartition is a partition that a Transactional writes to. Its leader takes a
// producer's batches only in the order of their sequence, and each once.
type transactionPartition struct {
	producer *Transactional
	topic    string
	id       int
	sequence int32 // of the next record

	// Of the transaction that is being written:
	items   []*item
	indexes []int   // the items' places in the call of Write
	offsets []int64 // of the items that are stored
}

// store has the leader store the items, in as many batches as they need.
func (p *transactionPartition) store(ctx context.Context) error {
	left := &queue{items: p.items}
	for {
		batch := left.takeBatch(len(p.items), batchBytes)
		if len(batch) == 0 {
			return nil
		}
		if err := p.storeBatch(ctx, batch); err != nil {
			return err
		}
	}
}

// storeBatch stores a batch, in halves where the topic's limit is smaller than the one we
// know.
func (p *transactionPartition) storeBatch(ctx context.Context, batch []*item) error {
	raw, err := p.encode(batch)
	if err != nil {
		return err
	}
	var base int64
	err = retryTransient(ctx, nil, func() (err error) {
		base, err = p.produce(ctx, raw)
		return err
	})
	if half := len(batch) / 2; isTooLarge(err) && half > 0 {
		if err := p.storeBatch(ctx, batch[:half]); err != nil {
			return err
		}
		return p.storeBatch(ctx, batch[half:])
	}
	if err != nil {
		return err
	}
	for i := range batch {
		p.offsets = append(p.offsets, base+int64(i))
	}
	p.sequence = (p.sequence + int32(len(batch))) & math.MaxInt32 // 0 comes after the largest
	return nil
}

// produce makes one attempt and returns the offset of the batch. If an earlier one was
// carried out, the leader finds it by its sequence and answers with its offset.
func (p *transactionPartition) produce(ctx context.Context, raw []byte) (offset int64, err error) {
	ctx, cancel := uncancelled(ctx)
	defer cancel()
	answer, err := p.producer.client.RawProduce(ctx, &kafka.RawProduceRequest{
		Topic: p.topic, Partition: p.id, RequiredAcks: kafka.RequireAll, TransactionalID: p.producer.id,
		RawRecords: protocol.RawRecordSet{Reader: bytes.NewReader(raw)},
	})
	if err == nil {
		offset, err = answer.BaseOffset, answer.Error
	}
	if err == nil && offset < 0 {
		err = errNoOffset
	}
	return offset, markFenced(markTooLarge(err))
}

// encode returns the record set of a request: its size and one batch in format v2. kafka-go
// encodes it as if there were no producer, so the producer is written over that.
func (p *transactionPartition) encode(batch []*item) ([]byte, error) {
	var b bytes.Buffer
	bound := 2 * batchOverhead
	for _, it := range batch {
		bound += it.size
	}
	b.Grow(bound)
	set := protocol.RecordSet{Version: 2, Attributes: protocol.Transactional, Records: &batchReader{items: batch}}
	if _, err := set.WriteTo(&b); err != nil {
		return nil, err
	}
	const size, checksum, attributes, producer, epoch, sequence = 4, 17, 21, 43, 51, 53
	head := b.Bytes()[size:]
	binary.BigEndian.PutUint64(head[producer:], uint64(p.producer.producer.ProducerID))
	binary.BigEndian.PutUint16(head[epoch:], uint16(p.producer.producer.ProducerEpoch))
	binary.BigEndian.PutUint32(head[sequence:], uint32(p.sequence))
	binary.BigEndian.PutUint32(head[checksum:], crc32.Checksum(head[attributes:], crc32.MakeTable(crc32.Castagnoli)))
	return b.Bytes(), nil
}

// takePlaces writes where the records of this transaction are, and forgets them.
func (p *transactionPartition) takePlaces(placed []decision.Position) {
	for i, index := range p.indexes {
		placed[index] = decision.Position{Topic: p.topic, Partition: p.id, Offset: p.offsets[i]}
	}
	p.items, p.indexes, p.offsets = nil, nil, nil
}
