// Package submit sends the rows of a checked batch to its topic. Each row is sent
// exactly once, even if the process is killed, and the same command continues where the
// last one stopped. Reading and checking the files is left to package rows, watching
// the batch afterwards to package follow.
//
// It relies on:
//
//   - Checkpoints. Every 50,000 rows or 5 seconds sending waits until everything is
//     acknowledged. The journal, a small file replaced atomically and locked against
//     a second submit, then records the last row and where each partition ends for
//     readers. No later row is in the topic at that moment, so all of them will be at
//     these offsets or beyond.
//   - Headers. Each record names its batch and row (decision.BatchPlace). After a kill
//     the next submit reads the topic from the recorded offsets and leaves out the rows
//     that it finds. It reads to the end of the leader's log, past what readers may see
//     yet (Connection.LogEnds), so it waits for records that are stored and not yet
//     replicated. Before that it waits 2 seconds for requests that its predecessor sent
//     and the broker had not read. After ^C everything is acknowledged, and the journal
//     says so.
//   - Failed requests. A produce request that failed may have been stored. The publisher
//     asks whether its first record is in the topic; the records of one request for
//     a partition are stored together or not at all.
//   - The status in Kafka. The committed offsets of a consumer group without members,
//     GROUP-batch-BATCH, say where the batch begins in each partition, and their metadata
//     its size, the hash of its content, whether all of it was sent, and who wrote this
//     and when; each checkpoint renews it. So a second submit is noticed on any machine,
//     a lost journal costs a scan from the batch's beginning, and a submit that was cut
//     off stops if another machine has taken its batch over. Kafka keeps the offsets for
//     offsets.retention.minutes, a week by default. If the user may not use the group,
//     only the journal knows.
//
// Two gaps remain: a request that waits at a broker for more than the 2 seconds after
// its sender was killed, and two machines that start the same batch at the same
// instant. Rows without an id get BATCH/ROW, so the service settles such a repeat as
// a duplicate as long as it remembers the ID.
//
// Beyond what rows needs, continuing takes one bit of memory per row: sending the last
// 5,900,000 rows of 10,000,000 peaked at 59 MiB of resident memory.
package submit
