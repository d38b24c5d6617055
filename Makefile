# The commands of this repository. Run as root on Debian or Ubuntu with Go.

GO      ?= go
AGENT   := internal/engine/local/agent/bin/toolbox
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2

# What the tests need of the distribution.
TEST_PACKAGES := btrfs-progs busybox-static iproute2 python3 runc util-linux

.PHONY: test build lint unit race packages

## test: everything that CI runs
test: packages build lint race

## packages: install what is missing from the distribution
packages:
	@missing=""; for p in $(TEST_PACKAGES); do \
	  dpkg-query -W -f '$${Status}' $$p 2>/dev/null | grep -q 'ok installed' || missing="$$missing $$p"; done; \
	if [ -n "$$missing" ]; then apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing; fi

## build: the agent, where the server embeds it
build: $(AGENT)

$(AGENT): $(shell find cmd/toolbox internal/toolbox -name '*.go' -o -name '*.py')
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '-s -w' -o $@ ./cmd/toolbox

## lint: formatting, vet, staticcheck
lint:
	@unformatted=$$(gofmt -l $$(git ls-files '*.go')); if [ -n "$$unformatted" ]; then echo "gofmt -w these:"; echo "$$unformatted"; exit 1; fi
	$(GO) vet ./...
	$(GO) run $(STATICCHECK) ./...

## unit: the tests without the race detector, quicker
unit:
	$(GO) test ./...

## race: the tests with the race detector
race:
	$(GO) test -race -timeout 10m ./...
