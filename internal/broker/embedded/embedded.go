// Package embedded is a Kafka cluster inside the process, for the demo and for
// tests. It speaks the real protocol, keeps its log in memory and drops it in
// Close. Tests let it fail on demand (Inject), and run it on a Network inside a
// synctest bubble. It is the only package that imports franz-go's kfake. How
// Verdict talks to a cluster, embedded or not, is left to package broker.
package embedded

import (
	"crypto/tls"
	"fmt"
	"net"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
)

// Options configure a Cluster. The zero value is one broker without topics on a
// free port of the loopback interface.
type Options struct {
	// Topics are the initial topics and their numbers of partitions; nil: none.
	Topics map[string]int
	// Brokers is the number of brokers; 0: 1. They share one memory, so a broker
	// that is stopped takes no records with it.
	Brokers int
	// Ports are the brokers' ports, one for each broker; nil: free ports. If set,
	// Brokers is ignored.
	Ports []int
	// Listen opens the brokers' listeners; nil: net.Listen. Tests in a synctest
	// bubble use Network.Listen.
	Listen func(network, address string) (net.Listener, error)
	// Configs are settings of the brokers by their Kafka names, such as
	// message.max.bytes. The embedded cluster ignores those that it does not know.
	Configs map[string]string
	// TLS makes every listener speak TLS; nil: plain text.
	TLS *tls.Config
	// Users may log in, and nobody else may connect; nil: no login, and everybody
	// may do everything.
	Users []User
}

// Cluster is a running embedded cluster.
type Cluster struct {
	kfake *kfake.Cluster
}

// minSessionTimeout lets tests choose short sessions; Kafka's own minimum is six
// seconds.
const minSessionTimeout = 10 * time.Millisecond

// Start starts a cluster, which answers until Close. The first rebalance of a
// consumer group has no initial delay; in a real cluster it has three seconds.
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
	opts = append(opts, kfake.ListenFn(closingConns(o.Listen)))
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
			return nil, fmt.Errorf("embedded: topic %s has %d partitions; it needs at least 1", topic, partitions)
		}
		opts = append(opts, kfake.SeedTopics(int32(partitions), topic))
	}
	c, err := kfake.NewCluster(opts...)
	if err != nil {
		return nil, fmt.Errorf("embedded: start: %w", err)
	}
	return &Cluster{kfake: c}, nil
}

// Addrs returns the host:port of the brokers.
func (c *Cluster) Addrs() []string {
	return c.kfake.ListenAddrs()
}

// Close stops the cluster and drops its records. A second Close does nothing.
func (c *Cluster) Close() {
	c.kfake.Close()
}

// CreateTopic adds a topic with settings by their Kafka names; nil: none.
func (c *Cluster) CreateTopic(topic string, partitions int, configs map[string]string) error {
	return c.kfake.CreateTopic(topic, int32(partitions), configs)
}

// DeleteTopic deletes a topic, its records and the commits of groups for it.
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

// StopBroker removes a broker from the cluster and breaks the connections to it.
// Another broker leads its partitions from then on. The last broker can't be
// stopped: to lose all of them, cut the Network.
func (c *Cluster) StopBroker(node int) error {
	return c.kfake.RemoveNode(int32(node))
}

// StartBroker adds a broker to the cluster at a port; 0: a free one.
func (c *Cluster) StartBroker(node, port int) error {
	_, _, err := c.kfake.AddNode(int32(node), port)
	return err
}

// HighWatermark returns the offset that the partition's next record will have, or
// -1 if there is no such partition.
func (c *Cluster) HighWatermark(topic string, partition int) int64 {
	p := c.kfake.PartitionInfo(topic, int32(partition))
	if p == nil {
		return -1
	}
	return p.HighWatermark
}

// Committed returns what a group committed for a partition. ok is false if it
// committed nothing.
func (c *Cluster) Committed(group, topic string, partition int) (offset int64, metadata string, ok bool) {
	g := c.kfake.GroupInfo(group)
	if g == nil {
		return 0, "", false
	}
	commit, ok := g.Commits[topic][int32(partition)]
	return commit.Offset, commit.Metadata, ok
}

// Kfake returns the cluster in kfake's type, for a test that needs more than this
// package offers.
func (c *Cluster) Kfake() *kfake.Cluster {
	return c.kfake
}

// portOf returns the port of a host:port.
func portOf(address string) (int, error) {
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(port)
}
