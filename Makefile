# The words a reader expects. Each runs on a machine that has Rust and git, unless it says otherwise.
CARGO ?= cargo
.DEFAULT_GOAL := help

RELEASE = $(or $(CARGO_TARGET_DIR),target)/release

.PHONY: help demo run test browser lint conformance histories bench build deploy destroy template

help: ## List the commands
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

demo: ## Start the local stack, move a task with signed webhooks, clone with a minted token, and say so
	$(CARGO) build --workspace --bins
	$(CARGO) run --quiet --package tests --bin stack -- demo

run: ## Keep the local stack up on port 9000 and print its URLs
	$(CARGO) build --workspace --bins
	$(CARGO) run --quiet --package tests --bin stack -- run

test: ## The whole test suite
	$(CARGO) test --workspace

browser: ## The page of `create` in headless Chromium (needs chromium and chromedriver)
	$(CARGO) test --package tests --test e2e -- --ignored chromium

histories: ## Two thousand true histories whose deliveries are lost, doubled and swapped, optimised (some minutes to build)
	HISTORIES=$(or $(HISTORIES),2000) $(CARGO) test --profile stack --package tests --test e2e -- histories

bench: ## Measure the release functions side by side with empty ones (some minutes)
	$(CARGO) build --release --package webhook --bin webhook --example empty_http
	$(CARGO) build --release --package token --bin token --example empty
	$(CARGO) build --release --package reconcile --bin reconcile
	$(CARGO) run --quiet --profile stack --package tests --bin stack -- bench "$(RELEASE)"

build: ## Build the functions for Lambda with cargo-lambda (ARCHITECTURE=arm64 for the other)
	$(CARGO) lambda build --release --locked $(if $(filter arm64,$(ARCHITECTURE)),--arm64,--x86-64) --package webhook --package reconcile --package token

deploy: ## Create or update the stack (needs the AWS SAM CLI and credentials)
	cd infra && sam deploy --parameter-overrides Architecture=$(or $(ARCHITECTURE),x86_64)

destroy: ## Delete the stack; the Tasks table stays (needs the AWS SAM CLI and credentials)
	cd infra && sam delete --no-prompts

template: ## Lint the template, plant mistakes in it, deploy it into a local AWS (needs Python 3.11)
	infra/check/run

lint: ## Format and lints; warnings fail
	$(CARGO) fmt --check
	$(CARGO) clippy --workspace --all-targets -- -D warnings

conformance: ## Real payloads and real octokit against the running functions (needs node and npm)
	$(CARGO) build --workspace --bins
	tests/conformance/run
