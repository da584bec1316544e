# Each target is a line or two; what they need and is missing is installed first.
.PHONY: demo test torture fuzz garden lint bench instructions release coverage docs deny

build_tools = cmake cc:build-essential
test_tools = curl git nginx:nginx-light python3 redis-server faketime chromium
cargo_fuzz = 0.13.2
gunicorn = 23.0.0

demo: ## the reference application with the proxy in front, and things to try
	@tools/need $(build_tools) curl
	cargo build --locked -p vestibule -p vestibule-upstream
	@demo/run

test: lint ## everything
	@tools/need $(test_tools)
	cargo test --locked --workspace --features fail-points --no-fail-fast

torture: ## everything is killed: ten minutes of repeated writes, and 300 deaths under audit; TORTURE_ON=sentinels|cluster TORTURE_SEED= TORTURE_SECONDS= CRASHES=
	@tools/need $(build_tools) redis-server
	cargo test --locked --features fail-points --test it torture::long -- --ignored --exact --nocapture
	CRASHES=$${CRASHES:-300} cargo test --locked --features fail-points --test it audit::crashes::long -- --ignored --exact --nocapture

fuzz: ## every target of tests/fuzz for FUZZ_SECONDS (60); FUZZ_TARGETS= names some of them
	@tools/need $(build_tools) c++:g++
	@cargo fuzz --version 2>/dev/null | grep -q " $(cargo_fuzz)$$" || cargo install --locked --force cargo-fuzz@$(cargo_fuzz)
	tests/fuzz/run $(FUZZ_TARGETS)

garden: target/garden/venv/bin/gunicorn ## generated attacks through the proxy, to nginx, Node, gunicorn and a strict recorder
	@tools/need $(build_tools) nginx:nginx-light node:nodejs
	cargo build --locked --bin vestibule
	tests/garden/run

target/garden/venv/bin/gunicorn:
	@tools/need python3
	@python3 -c "import ensurepip" 2>/dev/null || tools/need ensurepip:python3-venv
	python3 -m venv target/garden/venv
	target/garden/venv/bin/pip install --quiet gunicorn==$(gunicorn)

lint:
	@tools/need $(build_tools)
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --workspace --no-deps

bench: ## beside pingora alone, nginx, HAProxy, Envoy, Traefik and Caddy, in one run
	@tools/need $(build_tools) nginx:nginx-light haproxy wrk h2load:nghttp2-client openssl python3 redis-server redis-benchmark:redis-tools curl valgrind strace
	@python3 -c "import ensurepip" 2>/dev/null || tools/need ensurepip:python3-venv
	@bench/tools
	cargo build --locked --release --bin vestibule
	cargo build --locked --release --manifest-path bench/bare/Cargo.toml --target-dir $${CARGO_TARGET_DIR:-target}/bare
	bench/run

instructions: ## instructions a request, each below its bound
	@tools/need $(build_tools) nginx:nginx-light h2load:nghttp2-client valgrind python3
	cargo build --locked --release --bin vestibule
	bench/instructions --check

release: ## the profile-guided build, stripped, in target/dist
	@tools/need $(build_tools) nginx:nginx-light wrk h2load:nghttp2-client openssl python3
	tools/release

coverage: ## line coverage of the workspace, in target/coverage
	@tools/need $(build_tools) $(test_tools)
	tools/coverage

docs: ## writes what is generated: docs/metrics.md
	UPDATE_DOCS=1 cargo test --locked --test it docs::

deny: ## advisories, licences and sources, with cargo-deny
	cargo deny --locked check
