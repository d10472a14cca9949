# make help lists the targets. CI runs .ci/run, which only calls make.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := all
MAKEFLAGS += --no-print-directory

# Tools that scripts/tools.sh installed come before the machine's.
export PATH := $(CURDIR)/.tools/bin:$(PATH)

# Programs, tests and checks are compiled alike: what all of them need is compiled once.
export GOFLAGS := $(filter-out -trimpath,$(GOFLAGS)) -trimpath
export CGO_ENABLED := 0

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
LISTEN ?= 127.0.0.1:8888
FUZZTIME ?= 100000x
BENCHFLAGS ?=
SOAKTIME ?= 3m
CHAOS_LIMIT ?= 90m
SUPPLY_COLD ?= 1
# What runs the filter in the tests: module, or golang for contrib's filter for Go.
HOST ?= module
SUFFIX := $(if $(filter golang,$(HOST)),-golang)

# Packages of the libraries for Envoy, the only ones with cgo, and of one in a test.
# They are checked as pie, for which Go compiles as for a library, but writes no header.
CGO := ./filter/dynamicmodule/lib ./filter/golang/lib ./test/golanghost/plugin
NO_CGO = $(shell CGO_ENABLED=0 go list ./... | grep -v '/filter/golang/lib$$')
# End-to-end tests run what was built with a real Envoy: a stage of their own.
NOT_UNIT := /test/e2e$$|/test/golanghost$$|/test/golanghost/plugin$$|/test/supply$$|/test/security$$|/test/chaos$$|/test/soak$$|/test/scale$$|/test/program$$|/test/conformance$$|/test/layout$$|/test/k8s(/|$$)|/test/envoygateway$$|/test/istio$$|/lib$$
# The tests of test/e2e/once, as go test's -skip wants them.
ONCE = ^($$(grep -v '^\#' test/e2e/once | paste -sd '|'))\$$$$
PACKAGES = $(shell go list ./... | grep -Ev '$(NOT_UNIT)')
ENVOY_VERSIONS = $(shell scripts/tools.sh versions)

.PHONY: all
all: build ## build everything (the default)

.PHONY: help
help: ## show this list
	@awk -F ':.*## ' '/^[a-z0-9%-]+:.*## / { printf "  %-18s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: build
build: bin golang ## the programs, both libraries and the pinned Envoy
	@scripts/tools.sh envoy >/dev/null

.PHONY: bin
bin:
	@echo "    building bin/mcp-gateway, bin/mcp-demo, bin/libmcp_gateway.so"
	@go build -ldflags '-s -w -X main.version=$(VERSION)' -o bin/ ./cmd/mcp-gateway ./cmd/mcp-demo
	@CGO_ENABLED=1 go build -buildmode=c-shared -ldflags '-s -w' -o bin/libmcp_gateway.so ./filter/dynamicmodule/lib
	@rm -f bin/libmcp_gateway.h

.PHONY: golang
golang: ## bin/libmcp_gateway_golang*.so, one for each contrib Envoy that is supported
	@scripts/golang.sh bin

.PHONY: generate
generate: ## write generated files anew
	go generate ./...

# Whatever else is changed in the tree is of no interest.
GENERATED = controlplane/api/crds/mcp-gateway.dev_*.yaml $(shell git ls-files '*/zz_generated.*.go' '*.gen.go' '*.pb.go')

.PHONY: generated
generated: ## that no generated file is out of date
	@before=$$(sha256sum $(GENERATED)); $(MAKE) generate; \
	  [[ $$before == "$$(sha256sum $(GENERATED))" ]] || { echo "error: generated files were out of date; make generate wrote them, commit them" >&2; exit 1; }

.PHONY: tools
tools: ## install everything that the tests need under .tools/
	@scripts/tools.sh all

.PHONY: run
run: build ## two demo servers and the gateway on LISTEN (127.0.0.1:8888) until Ctrl-C
	@LISTEN=$(LISTEN) scripts/run.sh

.PHONY: up
up: ## the same as containers: docker compose up
	docker compose up --build --detach --wait

.PHONY: down
down: ## end the containers and remove their volumes
	docker compose down --volumes --remove-orphans

.PHONY: local-env-setup
local-env-setup: ## a cluster by Kind with the gateway, Redis and two demo servers, on port 8888 of this machine; GATEWAY=istio: at a Gateway of Istio's
	@scripts/local-env.sh setup

.PHONY: local-env-teardown
local-env-teardown: ## remove that cluster
	@scripts/local-env.sh teardown

.PHONY: inspect-gateway
inspect-gateway: ## the MCP Inspector on port 6274, connected to the gateway of run, up or local-env-setup, until Ctrl-C
	@scripts/inspect.sh

.PHONY: test
test: ## set up everything, then lint, layout, unit, race, security and end-to-end on three Envoys
	@rm -rf dist/results
	@scripts/stages.sh 'tools:1200:tools!' 'build:900:build!' lint:900:lint generated:300:generated layout:300:layout unit:900:unit race:1500:race \
	  security:240:security $(foreach v,$(ENVOY_VERSIONS),e2e-$(v):900:e2e-$(v))

.PHONY: unit
unit: ## tests of every package, without cgo
	@scripts/gotest.sh unit -timeout 5m $(PACKAGES)
	@scripts/gotest.sh unit-panics -timeout 1m -tags panics ./internal/fault

.PHONY: race
race: ## the same under the race detector
	@CGO_ENABLED=1 scripts/gotest.sh race -race -timeout 10m $(PACKAGES)

.PHONY: layout
layout: ## rules of the repository: imports, sizes, words
	@scripts/gotest.sh layout -count=1 ./test/layout

.PHONY: e2e
e2e: build tools ## end-to-end tests on every pinned Envoy; HOST=golang: with contrib's filter for Go, on one
	@if [[ $(HOST) == golang ]]; then $(MAKE) e2e-golang; \
	  else for version in $(ENVOY_VERSIONS); do $(MAKE) "e2e-$$version"; done; fi

# On other Envoys than the first without what no version of Envoy changes.
e2e-%: ## end-to-end tests on one Envoy, as make e2e-1.40.0
	@echo "    Envoy $*"
	@ENVOY="$$(scripts/tools.sh envoy $*)"; once=(-skip "$(ONCE)"); \
	  [[ $$ENVOY != "$$(scripts/tools.sh envoy)" ]] || once=(); \
	  ENVOY=$$ENVOY scripts/gotest.sh e2e-$* -count=1 -timeout 14m "$${once[@]}" -parallel 4 ./test/e2e/... ./test/program

# Of Envoy there is one version here: the library is made for one.
.PHONY: e2e-golang
e2e-golang: golanghost ## end-to-end tests with contrib's filter for Go
	@env $$(scripts/host.sh golang) scripts/gotest.sh e2e-golang -count=1 -timeout 14m -skip "$(ONCE)" -parallel 4 ./test/e2e/... ./test/program

.PHONY: golanghost
golanghost: golang ## the stand-in for contrib's golang filter does as contrib does, and ends Envoy for what contrib forbids
	@ENVOY="$$(scripts/tools.sh envoy)" scripts/gotest.sh golanghost -count=1 -timeout 5m ./test/golanghost

.PHONY: e2e-k8s
e2e-k8s: build ## Kubernetes, with a real API server, Helm and istiod, which take minutes to build the first time
	@scripts/tools.sh redis >/dev/null
	@KUBEAPI="$$(scripts/tools.sh kubeapi)" KUBECTL="$$(scripts/tools.sh kubectl)" HELM="$$(scripts/tools.sh helm)" ISTIOD="$$(scripts/tools.sh istiod)" ENVOY="$$(scripts/tools.sh envoy)" FORMAT=testname \
	  scripts/gotest.sh e2e-k8s -count=1 -timeout 14m ./test/k8s/...

.PHONY: e2e-envoygateway
e2e-envoygateway: build ## behind Envoy Gateway, the real one, which takes minutes to build the first time
	@KUBEAPI="$$(scripts/tools.sh kubeapi)" HELM="$$(scripts/tools.sh helm)" ENVOYGATEWAY="$$(scripts/tools.sh envoygateway)" ENVOY="$$(scripts/tools.sh envoy)" FORMAT=testname \
	  scripts/gotest.sh e2e-envoygateway -count=1 -timeout 5m ./test/envoygateway

.PHONY: e2e-istio
e2e-istio: build ## the gateway at a Gateway of Istio's, with the real istiod, which takes minutes to build the first time
	@KUBEAPI="$$(scripts/tools.sh kubeapi)" HELM="$$(scripts/tools.sh helm)" ISTIOD="$$(scripts/tools.sh istiod)" ENVOY="$$(scripts/tools.sh envoy)" \
	  FORMAT=testname scripts/gotest.sh e2e-istio -count=1 -timeout 5m ./test/istio

.PHONY: security
security: build ## the security requirements, one row each, and hostile input: dist/security.txt
	@scripts/tools.sh clients
	@rm -f dist/security.txt; status=0; env $$(scripts/host.sh $(HOST)) \
	  scripts/gotest.sh security$(SUFFIX) -count=1 -timeout 230s ./test/security || status=$$?; \
	  [[ ! -f dist/security.txt ]] || cat dist/security.txt; exit $$status

.PHONY: conformance
conformance: build ## the protocol's conformance suite, directly and through the gateway, side by side
	@scripts/tools.sh conformance >/dev/null
	@scripts/tools.sh clients
	@rm -f dist/conformance.txt; status=0; env $$(scripts/host.sh $(HOST)) FORMAT=testname \
	  scripts/gotest.sh conformance$(SUFFIX) -count=1 -timeout 14m ./test/conformance || status=$$?; \
	  cat dist/conformance.txt; exit $$status

.PHONY: chaos
chaos: build ## faults under load, every call checked: dist/chaos.txt; CHAOS_CALLS=1000000 is the long form
	@scripts/tools.sh redis >/dev/null
	@rm -f dist/chaos.txt; status=0; env $$(scripts/host.sh $(HOST)) CHAOS=1 FORMAT=testname \
	  scripts/gotest.sh chaos$(SUFFIX) -count=1 -timeout $(CHAOS_LIMIT) ./test/chaos || status=$$?; \
	  cat dist/chaos.txt; exit $$status

.PHONY: scale
scale: build tools ## sizes that no other test reaches: dist/scale.txt; SCALE=short, SESSIONS=1000000
	@rm -f dist/scale.txt; status=0; ENVOY="$$(scripts/tools.sh envoy)" FORMAT=testname \
	  scripts/gotest.sh scale -count=1 -timeout 28m ./test/scale || status=$$?; \
	  cat dist/scale.txt; exit $$status

.PHONY: compose
compose: ## docker compose up with a real daemon, as a client sees it; skipped where none can run
	@mkdir -p dist/results; status=0; test/compose/prove.sh || status=$$?; \
	  [[ $$status -ne 77 ]] || { touch dist/results/compose.skip; exit 0; }; exit $$status

.PHONY: fuzz
fuzz: ## every fuzz target for FUZZTIME (100000x)
	@scripts/fuzz.sh $(FUZZTIME)

.PHONY: soak
soak: build tools ## mixed traffic for SOAKTIME (3m), and what is left of it: dist/soak.txt
	@rm -f dist/soak.txt; status=0; ENVOY="$$(scripts/tools.sh envoy)" \
	  scripts/gotest.sh soak -count=1 -timeout 14m ./test/soak -for $(SOAKTIME) || status=$$?; \
	  cat dist/soak.txt; exit $$status

.PHONY: bench
bench: build ## cost beside direct, plain Envoy and mcp_router; BENCHFLAGS=-quick
	@env $$(scripts/host.sh golang) go run ./test/bench $(BENCHFLAGS)

.PHONY: release
release: ## what is handed out, with SBOM and checksums: dist/release; VERSION=v1.2.3
	@scripts/release.sh $(VERSION)

.PHONY: vulncheck
vulncheck: ## known vulnerabilities that the code reaches; VULNDB=file:///copy where vuln.go.dev is out of reach
	@mkdir -p dist/results; status=0; scripts/vulncheck.sh || status=$$?; \
	  [[ $$status -ne 77 ]] || { touch dist/results/vulncheck.skip; exit 0; }; exit $$status

.PHONY: supply
supply: ## the release is the same twice, and all that is fetched is pinned
	@SUPPLY_COLD=$(SUPPLY_COLD) scripts/gotest.sh supply -count=1 -timeout 14m ./test/supply

.PHONY: lint
lint: ## gofmt, go vet, staticcheck, shellcheck
	@unformatted=$$(gofmt -l $$(git ls-files --cached --others --exclude-standard '*.go')); \
	  [[ -z $$unformatted ]] || { echo "error: not formatted; run gofmt -w:" >&2; echo "$$unformatted" >&2; exit 1; }
	@go vet $(NO_CGO)
	@go vet -tags panics ./internal/fault
	@CGO_ENABLED=1 go vet -buildmode=pie $(CGO)
	@go vet -C tools ./...
	@check=$$(go tool -modfile=tools/go.mod -n staticcheck); "$$check" $(NO_CGO); \
	  CGO_ENABLED=1 GOFLAGS='$(GOFLAGS) -buildmode=pie' "$$check" $(CGO)
	@"$$(scripts/tools.sh shellcheck)" --external-sources $$(git ls-files --cached --others --exclude-standard '*.sh' .ci/run)

.PHONY: check
check: lint layout ## lint, layout, and that nothing generated or required is out of date
	@go mod tidy -diff
	@$(MAKE) generate
	@git diff --exit-code || { echo "error: make generate changed the files above; commit them" >&2; exit 1; }

.PHONY: clean
clean: ## remove what was built; .tools/ stays
	rm -rf bin dist
