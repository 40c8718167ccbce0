# Verdict. `make` prints what there is.

GOLANGCI_LINT := github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
COMPOSE_SPEC  := github.com/compose-spec/compose-go/v2/cmd@v2.16.2
GOVULNCHECK   := golang.org/x/vuln/cmd/govulncheck@v1.9.0

.DEFAULT_GOAL := help

help: ## print this
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

build: ## build ./verdict
	CGO_ENABLED=0 go build -trimpath -o verdict ./cmd/verdict

test: ## every test that needs Go alone
	go test ./...

race: ## the same under the race detector, but for test/integration, whose processes it does not see
	go test -race -timeout 15m $$(go list ./... | grep -v /test/integration)

lint: ## gofmt, vet, fix, tidy and golangci-lint
	test -z "$$(gofmt -l .)"
	go vet ./...
	go fix -diff ./...
	go mod tidy -diff
	go run $(GOLANGCI_LINT) run ./...

vuln: ## known vulnerabilities in what is used
	go run $(GOVULNCHECK) ./...

bench: ## every benchmark; BenchmarkPipeline's ratio is the one to compare
	go test -run '^$$' -bench . -benchmem ./internal/... ./consumer/... ./processor/...
	go test -run '^$$' -bench Pipeline -benchtime 6x ./internal/cli
	go test -run '^$$' -bench LiveLatency -benchtime 3x ./internal/cli

memory: ## what a run's memory is beside a backlog of a million
	VERDICT_TEST_BACKLOGS=100000,1000000 go test -count=1 -timeout 30m -v -run MemoryDoesNotFollow ./internal/cli

fuzz: ## each fuzz target for a while (FUZZTIME=30s)
	@grep -rho --include='*_test.go' -E '^func Fuzz[A-Za-z0-9]+' --with-filename . | sed 's/:func /:/' | while IFS=: read -r file target; do \
		go test -run '^$$' -fuzz "^$$target$$" -fuzztime $${FUZZTIME:-30s} "$$(dirname $$file)" || exit 1; done

KAFKA := test/kafka/kafka.sh

test-kafka: test-kafka-1 test-kafka-3 test-kafka-secured ## the tests on a real Apache Kafka, of one node and of three, and with TLS and SASL (Java 17 and Maven)

test-kafka-1: ## the first half of it
	@brokers=$$($(KAFKA) start) || exit 1; status=0; export VERDICT_TEST_BROKERS=$$brokers; \
		go test -race -count=1 -run Kafka ./internal/broker || status=1; \
		go test -count=1 ./test/integration || status=1; \
		$(KAFKA) stop; exit $$status

test-kafka-3: ## the second half of it: nodes are lost
	@data=$$PWD/test/kafka/data/three; \
		brokers=$$($(KAFKA) start --nodes 3 --data $$data) || exit 1; status=0; \
		VERDICT_TEST_BROKERS=$$brokers VERDICT_TEST_NODES=$$data go test -count=1 -v -run BrokersAreLost ./test/integration || status=1; \
		$(KAFKA) stop --data $$data; exit $$status

test-kafka-secured: ## the third part of it, which starts a Kafka of its own
	VERDICT_TEST_BROKERS=own go test -race -count=1 -run SecuredKafka ./internal/cli

soak: ## faults from a seed for DURATION=10m, on the embedded Kafka or on VERDICT_TEST_BROKERS (SEED=… replays)
	go test -count=1 -timeout 0 -v -run '^TestSoak$$' ./test/integration -soak $(or $(DURATION),10m) -seed $(or $(SEED),0)

test-prometheus: ## rules, their tests and every expression under a real Prometheus (Debian's package prometheus)
	promtool check config configs/prometheus/prometheus.yml
	promtool check rules configs/prometheus/rules/*.yml
	promtool test rules configs/prometheus/tests/*.yml
	VERDICT_TEST_PROMETHEUS=prometheus go test -count=1 -timeout 5m -run Prometheus ./internal/cli

check-compose: ## docker-compose.yml by the rules that `docker compose` itself has
	go run $(COMPOSE_SPEC) docker-compose.yml >/dev/null

stack: ## what docker-compose.yml starts, without Docker and Grafana (Java 17, Maven, Prometheus)
	test/watch/stack.sh

demo: ## everything in one process
	go run ./cmd/verdict demo

clean: ## what was built
	rm -rf verdict bin test/kafka/target test/kafka/data

check-deploy: ## the Kubernetes manifests against their schemas
	test/deploy/check.sh

release-check: ## .goreleaser.yaml by goreleaser's own check
	go run github.com/goreleaser/goreleaser/v2@v2.12.7 check

sbom: ## what is in ./verdict, as CycloneDX
	go run github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod@v1.9.0 app -json -licenses -main cmd/verdict -output verdict.cdx.json

.PHONY: help build test race lint vuln bench memory fuzz test-kafka test-kafka-1 test-kafka-3 test-kafka-secured soak test-prometheus stack check-compose demo check-deploy release-check sbom clean
