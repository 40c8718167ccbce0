package check

import (
	"context"
	"net"
	"slices"
	"strconv"
	"time"

	"github.com/segmentio/kafka-go"

	"verdict/configs"
	"verdict/internal/app"
	"verdict/internal/broker"
)

// maxAdvertised is the number of advertised brokers that are checked.
const maxAdvertised = 50

// kafkaCheck makes the checks that need Kafka. It runs once.
type kafkaCheck struct {
	cfg        configs.Config
	connection *broker.Connection
	dial       app.DialFunc
	timeout    time.Duration // bound of one check
	Findings
}

// bounded returns the context of one check.
func (k *kafkaCheck) bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, k.timeout)
}

func (k *kafkaCheck) run(ctx context.Context) Findings {
	usable := k.brokers(ctx, k.cfg.Kafka.Brokers, "")
	if usable == "" {
		k.warn("kafka", "topics, rights, group, backlog and clock are not checked, because no broker can be used", "correct the brokers first")
		return k.Findings
	}
	// The other checks must not wait for a broker that does not answer.
	cfg := k.cfg.Kafka
	cfg.Brokers = []string{usable}
	connection, err := app.Connect(cfg, k.dial)
	if err != nil {
		k.failErr("kafka/cluster", err)
		return k.Findings
	}
	defer connection.Close()
	k.connection = connection
	meta, err := k.metadata(ctx)
	if err != nil {
		k.fail("kafka/cluster", err.Error(), "does the Kafka user have the right to describe topics?")
		return k.Findings
	}
	k.brokers(ctx, k.advertised(meta), ", advertised by the cluster")

	states := k.topics(ctx, usable)
	k.rights(ctx, usable)
	k.ledger(ctx, usable)
	k.group(ctx)
	if len(meta.Brokers) > 0 {
		k.brokerSettings(ctx, meta.Brokers[0].ID)
	}
	k.backlogs(ctx, states)
	k.clock(ctx, states)
	return k.Findings
}

func (k *kafkaCheck) metadata(ctx context.Context) (*kafka.MetadataResponse, error) {
	ctx, cancel := k.bounded(ctx)
	defer cancel()
	return k.connection.Client().Metadata(ctx, &kafka.MetadataRequest{Topics: app.TopicNames(k.cfg.Kafka.Topics)})
}

// advertised returns the addresses of brokers that are not configured. Clients
// find them through the configured ones, by addresses that the cluster
// advertises and that may be unreachable from here.
func (k *kafkaCheck) advertised(meta *kafka.MetadataResponse) []string {
	var addrs []string
	for _, b := range meta.Brokers {
		if addr := net.JoinHostPort(b.Host, strconv.Itoa(b.Port)); !slices.Contains(k.cfg.Kafka.Brokers, addr) {
			addrs = append(addrs, addr)
		}
	}
	slices.Sort(addrs)
	return addrs[:min(len(addrs), maxAdvertised)]
}
