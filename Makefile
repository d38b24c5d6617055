# The commands of this repository. Run as root on Debian or Ubuntu.

# scripts/toolchain downloads compilers to this directory.
export DAYTONA_TOOLCHAIN ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/daytona-toolchain
export PATH := $(DAYTONA_TOOLCHAIN)/bin:$(PATH)

GO      ?= go
AGENT   := internal/engine/local/agent/bin/toolbox
# The packages of all modules (go.work).
PACKAGES_GO := ./... ./api/... ./sdk/... ./sdk/test/...
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2

# Distribution packages that the server needs, and those that the tests need in addition.
PACKAGES      := btrfs-progs ca-certificates curl debian-archive-keyring libnss-myhostname mmdebstrap runc util-linux
# Packages of a desktop, for the agent's own tests.
DESKTOP_PACKAGES := at-spi2-core dbus-daemon ffmpeg gir1.2-gtk-3.0 novnc openbox python3-gi python3-tk x11vnc xvfb
# The race detector needs a C compiler.
TEST_PACKAGES := $(PACKAGES) $(DESKTOP_PACKAGES) busybox-static e2fsprogs gcc htop iproute2 libc6-dev postgresql procps python3 python3-pylsp python3-venv tmux unzip vim-tiny
# Packages for building runc from source, and crun.
RUNTIME_PACKAGES := crun gcc libc6-dev libseccomp-dev pkg-config

# Packages for running virtual machines. Nothing is compiled inside them.
VM_HOST_PACKAGES := e2fsprogs ipxe-qemu mmdebstrap openssh-client python3 qemu-system-x86 qemu-utils seabios util-linux $(if $(IMAGE),genisoimage)
VM_GUEST_PACKAGES := make $(filter-out $(DESKTOP_PACKAGES) gcc libc6-dev postgresql unzip,$(TEST_PACKAGES))

# The version of this checkout, not of a repository around it; empty in a source archive.
VERSION ?= $(shell git --git-dir=.git describe --tags --always --dirty 2>/dev/null)

.PHONY: toolchain test-toolchain quickstart test test-images test-kubernetes test-runtimes test-vm test-vm-short vm-packages build up down lint unit race fuzz conformance test-schema test-sdks test-postgres packages test-packages

## quickstart: build and start the server, then run code in a first sandbox
quickstart: packages toolchain build
	@scripts/quickstart

## test: run everything that CI runs
test: test-packages vm-packages test-toolchain build lint race fuzz
	@$(MAKE) --no-print-directory -j2 --output-sync=target conformance test-vm-short # the virtual machine takes one core

## up: start a test server in the background and print its environment variables
up: bin/daytona bin/registry
	@scripts/up

## down: stop the test server and clean up after it
down:
	@scripts/down

# install installs those of the given packages that are missing.
define install
@missing=""; for p in $(1); do \
  dpkg-query -W -f '$${Status}' $$p 2>/dev/null | grep -q 'ok installed' || missing="$$missing $$p"; done; \
if [ -n "$$missing" ]; then echo "Installing:$$missing"; apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing; fi
endef

## packages: install the distribution packages that the server needs
packages:
	$(call install,$(PACKAGES))

## test-packages: install the distribution packages that the tests need
test-packages:
	$(call install,$(TEST_PACKAGES))

## toolchain: download Go if it is missing or too old
toolchain:
	@$(if $(filter go,$(GO)),scripts/toolchain go,:)

## test-toolchain: download Go, Node.js and a language server of Node's if they are missing or too old
test-toolchain: toolchain
	@scripts/toolchain node
	@cd internal/toolbox/lsp/testdata && { cmp -s package-lock.json node_modules/installed || { \
	  NODE_EXTRA_CA_CERTS=$${NODE_EXTRA_CA_CERTS:-/etc/ssl/certs/ca-certificates.crt} npm ci --no-audit --no-fund --loglevel=error && cp package-lock.json node_modules/installed; }; }

## build: build bin/daytona, client and server in one binary
build: bin/daytona

SOURCES := $(shell find api cli cmd images internal sdk -type f ! -name '*_test.go')

bin/daytona: $(AGENT) $(SOURCES) go.mod go.work sdk/go.mod | toolchain
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '-s -w -X main.version=$(VERSION)' -o $@ ./cmd/daytona

bin/registry: $(shell find test/fixtures internal/baseimage -name '*.go') go.mod | toolchain
	$(GO) build -o $@ ./test/fixtures/cmd/registry

$(AGENT): $(shell find cmd/toolbox internal/toolbox -name '*.go' -o -name '*.py') | toolchain
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '-s -w' -o $@ ./cmd/toolbox

## lint: check formatting, run vet and staticcheck, vet the client for macOS and Windows
lint: toolchain
	@unformatted=$$("$$($(GO) env GOROOT)/bin/gofmt" -l $$(find . -name '.?*' -prune -o -name node_modules -prune -o -name '*.go' -print)); if [ -n "$$unformatted" ]; then echo "gofmt -w these:"; echo "$$unformatted"; exit 1; fi
	$(GO) vet -tags root $(PACKAGES_GO)
	$(GO) run $(STATICCHECK) -tags root $(PACKAGES_GO)
	GOOS=darwin $(GO) vet ./cmd/daytona ./cli ./sdk ./sdk/internal/...
	GOOS=darwin $(GO) vet $$(GOOS=darwin scripts/unit --list)
	GOOS=windows $(GO) vet ./cmd/daytona ./cli ./sdk ./sdk/internal/...

## unit: run the tests that need no root, on Linux or macOS; takes a minute or two
unit:
	scripts/unit

## fuzz: run every fuzz target for FUZZTIME (default 3s)
FUZZTIME ?= 3s
fuzz: $(AGENT)
	@set -e; grep -rl --include='*_test.go' '^func Fuzz' . | xargs -n1 dirname | sort -u | while read -r dir; do \
	  for target in $$($(GO) test -list '^Fuzz' "$$dir" | grep '^Fuzz' | sort -u); do \
	    echo "$$dir $$target"; $(GO) test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 10x "$$dir"; \
	  done; done

## conformance: run the official SDKs and the examples against a test server
conformance: test-packages test-toolchain bin/daytona bin/registry
	scripts/conformance

## test-sdks: run the Python tests with older and newer versions of the Python SDK; takes minutes per version
test-sdks: test-packages bin/daytona bin/registry
	scripts/test-sdks

## test-schema: check a test server against its OpenAPI document with schemathesis; takes four minutes
test-schema: test-packages bin/daytona bin/registry
	scripts/test-schema

## test-images: build both variants of the default image and verify them in sandboxes; takes minutes and several GiB
test-images: test-packages bin/daytona bin/registry
	scripts/test-images

## test-kubernetes: build Kubernetes from source and run it in a sandbox; takes minutes, ten the first time
test-kubernetes: test-packages bin/daytona bin/registry
	scripts/test-kubernetes

## test-runtimes: test the engine with each OCI runtime of docs/compatibility.md; takes minutes per runtime
test-runtimes: test-packages $(AGENT)
	$(call install,$(RUNTIME_PACKAGES))
	scripts/test-runtimes

## test-vm: test on stock Debian 13 and 12 in virtual machines; SUITE=e2e runs the end-to-end Go tests there,
## SUITE=toolchain builds from the source tree, IMAGE=disk.qcow2 uses another distribution
test-vm: vm-packages bin/daytona bin/registry
	@VM_PACKAGES="$(VM_GUEST_PACKAGES)" GO="$(GO)" scripts/test-vm $(or $(SUITE),smoke) $(RELEASES)

## test-vm-short: run the most important part of test-vm on Debian 13
test-vm-short: vm-packages bin/daytona
	@VM_PACKAGES="$(VM_GUEST_PACKAGES)" scripts/test-vm short $(or $(RELEASES),trixie)

vm-packages:
	$(call install,$(VM_HOST_PACKAGES))

## race: run the Go tests with the race detector
race: $(AGENT)
	$(GO) test -tags root -race -timeout 20m $$($(GO) list $(PACKAGES_GO) | grep -v -e /test/e2e -e /test/isolation -e /internal/build$$)
	$(GO) test -timeout 10m ./internal/build # BuildKit 0.34 sets a field twice at once, to the same value (frontend/dockerfile/builder/resolvecache.go)
	$(GO) test -race -timeout 20m ./test/e2e # alone, as the next: they look for what is left on the machine
	$(GO) test -race -timeout 20m ./test/isolation
