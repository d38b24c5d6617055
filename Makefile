# The commands of this repository. Run as root on Debian or Ubuntu.

# Compilers that are missing or too old come here (scripts/toolchain).
export DAYTONA_TOOLCHAIN ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/daytona-toolchain
export PATH := $(DAYTONA_TOOLCHAIN)/bin:$(PATH)

GO      ?= go
AGENT   := internal/engine/local/agent/bin/toolbox
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2

# What the server needs of the distribution, and what the tests need beside it.
PACKAGES      := btrfs-progs ca-certificates curl debian-archive-keyring libnss-myhostname mmdebstrap runc util-linux
# The race detector is C.
TEST_PACKAGES := $(PACKAGES) busybox-static e2fsprogs gcc iproute2 libc6-dev procps python3 python3-venv unzip
# What builds runc beside it, and the other OCI runtime.
RUNTIME_PACKAGES := crun gcc libc6-dev libseccomp-dev pkg-config

# What runs a virtual machine. In it, nothing is compiled.
VM_HOST_PACKAGES := e2fsprogs ipxe-qemu mmdebstrap openssh-client python3 qemu-system-x86 qemu-utils seabios util-linux $(if $(IMAGE),genisoimage)
VM_GUEST_PACKAGES := $(filter-out gcc libc6-dev unzip,$(TEST_PACKAGES))

# Of this checkout, not of one around it; a source archive has none.
VERSION ?= $(shell git --git-dir=.git describe --tags --always --dirty 2>/dev/null)

.PHONY: toolchain test-toolchain quickstart test test-images test-kubernetes test-runtimes test-vm test-vm-short vm-packages build up down lint unit race fuzz conformance test-schema packages test-packages

## quickstart: from a checkout to a first sandbox
quickstart: packages toolchain build
	@scripts/quickstart

## test: everything that CI runs
test: test-packages test-toolchain build lint race fuzz conformance test-vm-short

## up: start a server in the background for tests; prints its variables
up: bin/daytona bin/registry
	@scripts/up

## down: end it and leave nothing behind
down:
	@scripts/down

# install makes sure of the packages named after it.
define install
@missing=""; for p in $(1); do \
  dpkg-query -W -f '$${Status}' $$p 2>/dev/null | grep -q 'ok installed' || missing="$$missing $$p"; done; \
if [ -n "$$missing" ]; then echo "Installing:$$missing"; apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing; fi
endef

## packages: install what the server needs of the distribution
packages:
	$(call install,$(PACKAGES))

## test-packages: and what the tests need
test-packages:
	$(call install,$(TEST_PACKAGES))

## toolchain: Go, unless it is there
toolchain:
	@$(if $(filter go,$(GO)),scripts/toolchain go,:)

## test-toolchain: and Node.js
test-toolchain: toolchain
	@scripts/toolchain node

## build: bin/daytona, the client and the server in one
build: bin/daytona

SOURCES := $(shell find api cli cmd images internal sdk -type f ! -name '*_test.go')

bin/daytona: $(AGENT) $(SOURCES) go.mod | toolchain
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '-s -w -X main.version=$(VERSION)' -o $@ ./cmd/daytona

bin/registry: $(shell find test/fixtures internal/baseimage -name '*.go') go.mod | toolchain
	$(GO) build -o $@ ./test/fixtures/cmd/registry

$(AGENT): $(shell find cmd/toolbox internal/toolbox -name '*.go' -o -name '*.py') | toolchain
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '-s -w' -o $@ ./cmd/toolbox

## lint: formatting, vet, staticcheck, and the client for other systems
lint: toolchain
	@unformatted=$$("$$($(GO) env GOROOT)/bin/gofmt" -l $$(find . -name '.?*' -prune -o -name node_modules -prune -o -name '*.go' -print)); if [ -n "$$unformatted" ]; then echo "gofmt -w these:"; echo "$$unformatted"; exit 1; fi
	$(GO) vet ./...
	$(GO) run $(STATICCHECK) ./...
	GOOS=darwin $(GO) vet ./cmd/daytona ./cli ./sdk ./sdk/internal/...
	GOOS=windows $(GO) vet ./cmd/daytona ./cli ./sdk ./sdk/internal/...

## unit: the tests without the race detector, quicker
unit: $(AGENT)
	$(GO) test ./...

## fuzz: every fuzz target for some seconds; FUZZTIME=10m looks longer
FUZZTIME ?= 5s
fuzz: $(AGENT)
	@set -e; grep -rl --include='*_test.go' '^func Fuzz' . | xargs -n1 dirname | sort -u | while read -r dir; do \
	  for target in $$($(GO) test -list '^Fuzz' "$$dir" | grep '^Fuzz'); do \
	    echo "$$dir $$target"; $(GO) test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) "$$dir"; \
	  done; done

## conformance: the official SDKs and the examples against a server of its own
conformance: test-packages test-toolchain bin/daytona bin/registry
	scripts/conformance

## test-schema: a server of its own held to its OpenAPI document by schemathesis; takes four minutes
test-schema: test-packages bin/daytona bin/registry
	scripts/test-schema

## test-images: both variants of the default image, built and proved in sandboxes; takes GiBs and minutes
test-images: test-packages bin/daytona bin/registry
	scripts/test-images

## test-kubernetes: a Kubernetes built from source, proved in a sandbox; takes minutes, the first time ten
test-kubernetes: test-packages bin/daytona bin/registry
	scripts/test-kubernetes

## test-runtimes: the engine with each OCI runtime of docs/compatibility.md; takes minutes for each
test-runtimes: test-packages $(AGENT)
	$(call install,$(RUNTIME_PACKAGES))
	scripts/test-runtimes

## test-vm: the product on Debian 13 and 12 as users have them, in virtual machines; SUITE=e2e runs the Go tests of real servers there,
## SUITE=toolchain a build from the source tree, IMAGE=disk.qcow2 takes another distribution
test-vm: vm-packages bin/daytona bin/registry
	@VM_PACKAGES="$(VM_GUEST_PACKAGES)" GO="$(GO)" scripts/test-vm $(or $(SUITE),smoke) $(RELEASES)

## test-vm-short: the same on Debian 13, the most important part of it
test-vm-short: vm-packages bin/daytona
	@VM_PACKAGES="$(VM_GUEST_PACKAGES)" scripts/test-vm short $(or $(RELEASES),trixie)

vm-packages:
	$(call install,$(VM_HOST_PACKAGES))

## race: the tests with the race detector
race: $(AGENT)
	$(GO) test -race -timeout 20m $$($(GO) list ./... | grep -v -e /test/e2e -e /test/isolation -e /internal/build$$)
	$(GO) test -timeout 10m ./internal/build # BuildKit 0.34 sets a field twice at once, to the same value (frontend/dockerfile/builder/resolvecache.go)
	$(GO) test -race -timeout 20m ./test/e2e # alone, as the next: they look for what is left on the machine
	$(GO) test -race -timeout 20m ./test/isolation
