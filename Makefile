# ctmatrix: `make run` runs the shipped matrix, `make test` runs every test, `make
# bench` measures how fast it is. They install what they need.

ARCH    := $(shell go env GOARCH)
VERSION := $(shell git describe --always --dirty 2>/dev/null || echo unknown)
AGENT   := orchestrator/internal/agentbin/bin/ctagent-$(ARCH)
LDFLAGS := -s -w -X github.com/ctmatrix/ctmatrix/orchestrator/internal/cli.Version=$(VERSION)

.PHONY: run bench test build agent tools checkers unit real fuzz clean

# 1 says that kernels differ, which is what a run is for.
run: tools build
	@bin/ctmatrix run $(ARGS) || { status=$$?; [ $$status -eq 1 ] && echo "(exit status 1: behaviour differs between kernels)" || exit $$status; }

# How fast it is, against a bare boot; ARGS="--kernel debian:6.1 --probe loose" for less.
bench: tools build
	@bin/ctmatrix bench $(ARGS)

build: agent
	CGO_ENABLED=0 go build -trimpath -ldflags '$(LDFLAGS)' -o bin/ctmatrix ./orchestrator/cmd/ctmatrix

agent:
	CGO_ENABLED=0 go build -trimpath -ldflags '-s -w' -o $(AGENT) ./guest/cmd/ctagent

tools:
	@./.ci/tools

checkers:
	@./.ci/tools xmllint chromium tshark

test: checkers build unit real

unit:
	@unformatted=$$(gofmt -l $$(git ls-files '*.go')); [ -z "$$unformatted" ] || { echo "gofmt would change: $$unformatted"; exit 1; }
	go vet ./...
	go test -timeout 10m ./...

# Tests that start QEMU and boot kernels from Debian's mirror. They do not skip,
# but for what compares with a tool of the host. One package after the other:
# guests take all the CPUs that there are.
real: build
	CTMATRIX_REAL_TESTS=1 go test -p 1 -count=1 -timeout 30m -run '^TestReal' ./...

# A short run of every fuzz target; FUZZTIME=5m for a long one.
FUZZTIME ?= 10s
fuzz:
	@for pkg in $$(go list ./...); do \
	  for target in $$(go test -list '^Fuzz' $$pkg | grep '^Fuzz'); do \
	    echo "== $$pkg $$target"; \
	    go test -run '^$$' -fuzz "^$$target$$" -fuzztime $(FUZZTIME) $$pkg || exit 1; \
	  done; \
	done

clean:
	rm -rf bin runs $(AGENT)
