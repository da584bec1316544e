# Each target is a line or two; what they need and is missing is installed first.
.PHONY: demo test torture lint bench coverage docs deny

build_tools = cmake cc:build-essential
test_tools = curl git nginx:nginx-light redis-server faketime chromium

demo: ## the reference application with the proxy in front, and things to try
	@tools/need $(build_tools) curl
	cargo build --locked -p vestibule -p vestibule-upstream
	@demo/run

test: lint ## everything
	@tools/need $(test_tools)
	cargo test --locked --workspace --features fail-points --no-fail-fast

torture: ## everything is killed: ten minutes of repeated writes, and 300 deaths under audit; TORTURE_SEED= TORTURE_SECONDS= CRASHES=
	@tools/need $(build_tools) redis-server
	cargo test --locked --features fail-points --test it torture::long -- --ignored --exact --nocapture
	CRASHES=$${CRASHES:-300} cargo test --locked --features fail-points --test it audit::crashes::long -- --ignored --exact --nocapture

lint:
	@tools/need $(build_tools)
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --workspace --no-deps

bench: ## beside pingora alone, nginx and HAProxy, in one run
	@tools/need $(build_tools) nginx:nginx-light haproxy wrk h2load:nghttp2-client openssl python3 redis-server redis-benchmark:redis-tools
	cargo build --locked --release --bin vestibule --example bare
	bench/run

coverage: ## line coverage of the workspace, in target/coverage
	@tools/need $(build_tools) $(test_tools)
	tools/coverage

docs: ## writes what is generated: docs/metrics.md
	UPDATE_DOCS=1 cargo test --locked --test it docs::

deny: ## advisories, licences and sources, with cargo-deny
	cargo deny --locked check
