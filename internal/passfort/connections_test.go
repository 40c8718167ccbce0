package passfort_test

import (
	"context"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"verdict/internal/passfort"
	"verdict/internal/passfort/sandbox"
)

// TestMoveOfTheAddressIsNoticedWithinTheAge has the API's name lead to another server
// while the old one goes on answering, and calls that are too frequent, or too long, for
// a connection to become idle.
func TestMoveOfTheAddressIsNoticedWithinTheAge(t *testing.T) {
	const age, moved = 5 * time.Minute, 7 * time.Minute
	for name, latency := range map[string]time.Duration{"frequent calls": 0, "long calls": 45 * time.Second} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				box := newSandbox(t, sandbox.Options{Latency: latency})
				var now, dialled atomic.Int32
				var lastBegan [2]atomic.Int64 // by server, since the start
				var networks [2]*network
				start := time.Now()
				for i := range networks {
					networks[i] = newNetwork()
					server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
						lastBegan[i].Store(int64(time.Since(start)))
						box.ServeHTTP(w, r)
					})}
					go func() { _ = server.Serve(networks[i]) }()
					defer server.Close()
				}
				o := options("http://localhost/4.0")
				o.MaxConnectionAge = age
				o.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
					dialled.Add(1)
					return networks[now.Load()].DialContext(ctx, network, address)
				}
				client, err := passfort.New(o)
				if err != nil {
					t.Fatal(err)
				}
				defer client.Close()
				var calls sync.WaitGroup
				for range int((moved + 2*age) / time.Second) {
					if time.Since(start) >= moved {
						now.Store(1)
					}
					calls.Go(func() {
						if _, _, err := client.WhoAmI(t.Context()); err != nil {
							t.Error(err)
						}
					})
					time.Sleep(time.Second)
				}
				calls.Wait()
				if last := time.Duration(lastBegan[0].Load()); last < moved || last > moved+age {
					t.Errorf("the old server got its last call at %s, the name moved at %s", last, moved)
				}
				if lastBegan[1].Load() == 0 {
					t.Error("the new server got no call")
				}
				if most := int32(4 * (1 + latency/time.Second + 1)); dialled.Load() < 3 || dialled.Load() > most {
					t.Errorf("%d connections in four ages, want no more than %d", dialled.Load(), most)
				}
			})
		})
	}
}
