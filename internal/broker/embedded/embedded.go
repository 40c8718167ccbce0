// Package embedded is a Kafka cluster inside the process, for the demo and for
// tests: it speaks the real protocol, keeps its log in memory and forgets it at
// Close. It is the only package that imports franz-go's kfake. How Verdict
// talks to a cluster, embedded or not, is left to package broker.
package embedded

import (
	"crypto/tls"
	"fmt"
	"net"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
)

// Options describe a Cluster. The zero value is one broker without topics on a
// free port of the loopback interface.
type Options struct {
	// Topics are the topics to begin with and their number of partitions.
	Topics map[string]int
	// Brokers is the number of brokers; 0 means 1. All of them share one
	// memory, so that a broker that is stopped takes no records with it.
	Brokers int
	// Ports are the brokers' ports, which then also say how many brokers there
	// are; none means free ports.
	Ports []int
	// Listen opens the brokers' listeners; nil means net.Listen. Tests in a
	// synctest bubble give Network.Listen.
	Listen func(network, address string) (net.Listener, error)
	// Configs are broker configurations by their Kafka names, such as
	// message.max.bytes; one that the embedded cluster does not know is
	// ignored by it.
	Configs map[string]string
	// TLS makes every listener speak TLS; nil means plain text.
	TLS *tls.Config
	// Users are those who may log in, and makes a login necessary; none means
	// that everybody may do everything.
	Users []User
}

// Cluster is a running embedded cluster.
type Cluster struct {
	kfake *kfake.Cluster
}

// minSessionTimeout lets tests choose short sessions; Kafka's own minimum is
// six seconds.
const minSessionTimeout = 10 * time.Millisecond

// Start starts a cluster, which answers from when Start returns until Close. A
// consumer group's first rebalance has no initial delay, unlike a real
// cluster's three seconds.
func Start(o Options) (*Cluster, error) {
	opts := []kfake.Opt{
		kfake.ClusterID("embedded"),
		kfake.NumBrokers(max(o.Brokers, 1)),
		kfake.GroupMinSessionTimeout(minSessionTimeout),
		kfake.BrokerConfigs(o.Configs),
	}
	if o.Listen == nil {
		o.Listen = net.Listen
	}
	opts = append(opts, kfake.ListenFn(listening(o.Listen)))
	if len(o.Ports) > 0 {
		opts = append(opts, kfake.Ports(o.Ports...))
	}
	if o.TLS != nil {
		opts = append(opts, kfake.TLS(o.TLS))
	}
	security, err := securityOpts(o.Users)
	if err != nil {
		return nil, err
	}
	opts = append(opts, security...)
	for topic, partitions := range o.Topics {
		if partitions < 1 {
			return nil, fmt.Errorf("embedded: topic %s: %d partitions, want 1 or more", topic, partitions)
		}
		opts = append(opts, kfake.SeedTopics(int32(partitions), topic))
	}
	c, err := kfake.NewCluster(opts...)
	if err != nil {
		return nil, fmt.Errorf("embedded: start: %w", err)
	}
	return &Cluster{kfake: c}, nil
}

// Addrs are the host:port of the brokers.
func (c *Cluster) Addrs() []string {
	return c.kfake.ListenAddrs()
}

// Close stops the cluster and forgets its records. A second Close does nothing.
func (c *Cluster) Close() {
	c.kfake.Close()
}

// CreateTopic adds a topic with configurations by their Kafka names, nil for
// none.
func (c *Cluster) CreateTopic(topic string, partitions int, configs map[string]string) error {
	return c.kfake.CreateTopic(topic, int32(partitions), configs)
}

// DeleteTopic deletes a topic, its records and what groups committed for it.
func (c *Cluster) DeleteTopic(topic string) error {
	return c.kfake.DeleteTopic(topic)
}

// MoveLeaders gives every partition a new leader, chosen at random.
func (c *Cluster) MoveLeaders() {
	c.kfake.ShufflePartitionLeaders()
}

// MoveCoordinators gives every group a new coordinator.
func (c *Cluster) MoveCoordinators() {
	c.kfake.RehashCoordinators()
}

// StopBroker takes a broker out of the cluster, and breaks the connections to it;
// another leads its partitions from then on. The last broker can't be stopped: to lose all of them, cut the
// Network.
func (c *Cluster) StopBroker(node int) error {
	return c.kfake.RemoveNode(int32(node))
}

// StartBroker brings a broker into the cluster, at the port that it had or, by
// 0, at a free one.
func (c *Cluster) StartBroker(node, port int) error {
	_, _, err := c.kfake.AddNode(int32(node), port)
	return err
}

// HighWatermark is the offset that the partition's next record will have; -1
// if there is no such partition.
func (c *Cluster) HighWatermark(topic string, partition int) int64 {
	p := c.kfake.PartitionInfo(topic, int32(partition))
	if p == nil {
		return -1
	}
	return p.HighWatermark
}

// Committed is what a group committed for a partition; ok is false if nothing.
func (c *Cluster) Committed(group, topic string, partition int) (offset int64, metadata string, ok bool) {
	g := c.kfake.GroupInfo(group)
	if g == nil {
		return 0, "", false
	}
	commit, ok := g.Commits[topic][int32(partition)]
	return commit.Offset, commit.Metadata, ok
}

// Kfake is the cluster as kfake's type, for a test that needs more than this
// package shows.
func (c *Cluster) Kfake() *kfake.Cluster {
	return c.kfake
}

// portOf is the port of a host:port.
func portOf(address string) (int, error) {
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(port)
}
