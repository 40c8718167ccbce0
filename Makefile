# Verdict. `make` lists the targets.

GOLANGCI_LINT := github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
COMPOSE_SPEC  := github.com/compose-spec/compose-go/v2/cmd@v2.16.2
CYCLONEDX     := github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod@v1.9.0
GORELEASER    := github.com/goreleaser/goreleaser/v2@v2.12.7
GOVULNCHECK   := golang.org/x/vuln/cmd/govulncheck@v1.9.0

KAFKA := test/kafka/kafka.sh
REGISTRY := test/registry/registry.sh

.DEFAULT_GOAL := help

help: ## list the targets
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 20

build: ## build ./verdict
	CGO_ENABLED=0 go build -trimpath -o verdict ./cmd/verdict

demo: ## run Kafka, the API and the service in one process, and settle 1,000 decisions
	go run ./cmd/verdict demo

stack: ## run what docker-compose.yml runs, without Docker and Grafana (needs Java 17, Maven and Prometheus)
	test/watch/stack.sh

test: ## run every test that needs only Go
	go test ./...

race: ## run the tests with the race detector, except test/integration, whose processes it cannot see
	go test -race -timeout 25m $$(go list ./... | grep -v /test/integration)

lint: ## check format, vet, go fix, go.mod and golangci-lint
	test -z "$$(gofmt -l .)"
	go vet ./...
	go fix -diff ./...
	go mod tidy -diff
	go run $(GOLANGCI_LINT) run ./...

vuln: ## search the dependencies for known vulnerabilities
	go run $(GOVULNCHECK) ./...

bench: ## run every benchmark; the ratio of BenchmarkPipeline is comparable between machines
	go test -run '^$$' -bench . -benchmem ./internal/... ./consumer/... ./processor/...
	go test -run '^$$' -bench Pipeline -benchtime 6x ./test/service
	go test -run '^$$' -bench LiveLatency -benchtime 3x ./test/service

memory: ## measure the memory of a run with a backlog of 100,000 and of 1,000,000
	VERDICT_TEST_BACKLOGS=100000,1000000 go test -count=1 -timeout 30m -v -run RunMemory ./test/service

fuzz: ## run each fuzz target for FUZZTIME=30s
	@grep -rho --include='*_test.go' -E '^func Fuzz[A-Za-z0-9]+' --with-filename . | sed 's/:func /:/' | while IFS=: read -r file target; do \
		go test -run '^$$' -fuzz "^$$target$$" -fuzztime $${FUZZTIME:-30s} "$$(dirname $$file)" || exit 1; done

soak: ## inject faults from a seed for DURATION=10m (SEED=N replays; VERDICT_TEST_BROKERS=… uses a real Kafka)
	go test -count=1 -timeout 0 -v -run '^TestSoak$$' ./test/integration -soak $(or $(DURATION),10m) -seed $(or $(SEED),0)

mutants: ## change the code of PKG="./processor/health ./processor/queue" a little, again and again (EVERY=10: one change in ten), and fail where no test notices a change that test/mutants/survivors.md does not list
	go run ./test/mutants -every $(or $(EVERY),1) -also "./test/sim -seeds 4" -also ./test/service $(or $(PKG),./processor/health)

sim: ## simulate the whole service from SEEDS=1000 seeds, the first of which is FROM=1
	cd test/sim && go test -timeout 0 -seeds $(or $(SEEDS),1000) -from $(or $(FROM),1)

test-kafka: test-kafka-1 test-kafka-3 test-kafka-secured ## run all tests on a real Apache Kafka (needs Java 17 and Maven); KAFKA_VERSION=3.9.1 chooses another version

test-kafka-1: ## run the tests on a real Kafka of one node
	@brokers=$$($(KAFKA) start) || exit 1; status=0; export VERDICT_TEST_BROKERS=$$brokers; \
		VERDICT_TEST_NODES=$$PWD/test/kafka/data go test -race -count=1 -run Kafka ./internal/broker || status=1; \
		go test -count=1 ./test/integration || status=1; \
		$(KAFKA) stop; exit $$status

test-kafka-3: ## run the tests that lose nodes of a real Kafka of three
	@data=$$PWD/test/kafka/data/three; \
		brokers=$$($(KAFKA) start --nodes 3 --data $$data) || exit 1; status=0; \
		VERDICT_TEST_BROKERS=$$brokers VERDICT_TEST_NODES=$$data go test -count=1 -v -run BrokersAreLost ./test/integration || status=1; \
		VERDICT_TEST_BROKERS=$$brokers VERDICT_TEST_NODES=$$data go test -count=1 -v -run IsKilled ./internal/broker || status=1; \
		$(KAFKA) stop --data $$data; exit $$status

test-kafka-secured: ## run the tests on a real Kafka with TLS, SASL and access rights
	VERDICT_TEST_BROKERS=own go test -race -count=1 -run SecuredKafka ./test/service

test-registry: ## run the tests on a real Schema Registry with Confluent's serializers (needs Java 21, Maven and Python)
	@url=$$($(REGISTRY) start) || exit 1; [ -n "$$url" ] || exit 0; status=0; \
		VERDICT_TEST_REGISTRY=$$url go test -count=1 -v -run RegistryReal ./test/integration || status=1; \
		$(REGISTRY) stop; exit $$status

test-prometheus: ## run the rules, their tests and every expression on a real Prometheus (Debian's package prometheus)
	promtool check config configs/prometheus/prometheus.yml
	promtool check rules configs/prometheus/rules/*.yml
	promtool test rules configs/prometheus/tests/*.yml
	VERDICT_TEST_PROMETHEUS=prometheus go test -count=1 -timeout 5m -run Prometheus ./test/service

check-compose: ## check docker-compose.yml as `docker compose` does
	go run $(COMPOSE_SPEC) docker-compose.yml >/dev/null

check-deploy: ## check the Kubernetes manifests against their schemas
	test/deploy/check.sh

release-check: ## check .goreleaser.yaml
	go run $(GORELEASER) check

sbom: ## list the modules in ./verdict as CycloneDX
	go run $(CYCLONEDX) app -json -licenses -main cmd/verdict -output verdict.cdx.json

clean: ## delete what was built
	rm -rf verdict bin test/kafka/target test/kafka/data test/registry/target test/registry/data

.PHONY: help build demo stack test race lint vuln bench memory fuzz soak sim mutants test-kafka test-kafka-1 test-kafka-3 test-kafka-secured \
	test-registry test-prometheus check-compose check-deploy release-check sbom clean
