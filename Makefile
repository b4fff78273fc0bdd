# keyroll: `make demo` shows it, `make test` runs everything that can fail, `make help` lists the rest.

CARGO ?= cargo
TARGET_DIR := $(or $(CARGO_TARGET_DIR),target)
export KEYROLL_SO := $(abspath $(TARGET_DIR)/release/libkeyroll.so)
export KEYROLL_BAO ?= $(abspath target/tools/openbao/bin/bao)
CARGO_DENY := target/tools/cargo-deny/bin/cargo-deny
export KEYROLL_BIN := $(abspath $(TARGET_DIR)/release/keyroll)

# What is shipped: the same options for each target, so that demo, mtr and deb take one build.
CARGO_SHIPPED := CARGO="$(CARGO)" scripts/cargo.sh
PACKAGE_BUILD := $(TARGET_DIR)/cmake
CONFIGURE := cmake -S . -B $(PACKAGE_BUILD) -DKEYROLL_TARGET_DIR=$(abspath $(TARGET_DIR))

.PHONY: help demo picture test build packages test-packages test-matrix portable lint deny unit mtr kills moves pages examples decoder attacks \
        peer-suites peer-suites-part peer-suites-record soak crowd mutants bench bench-server aarch64 miri asan fuzz deb test-install \
        test-deb test-fresh server-tree sbom reproducible clean

help: ## list the targets
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z0-9-]+):.*## */\1\t/' | awk -F '\t' '{ printf "  make %-19s %s\n", $$1, $$2 }'

demo: packages build ## start a private encrypted server, rotate its key, kill it, show that nothing is lost
	scripts/demo.sh

picture: packages build ## record the demo as docs/demo.svg, the README's picture
	scripts/record_demo.py

test: test-packages lint deny unit build demo mtr kills moves pages examples decoder attacks peer-suites-part ## everything below

build: ## target/release/libkeyroll.so and target/release/keyroll
	$(CARGO_SHIPPED) build --release --locked

packages: ## install the Debian packages that building and the demo need
	scripts/install_packages.sh build

test-packages: ## install the Debian packages that the tests need
	scripts/install_packages.sh test
	scripts/install_aws_servers.sh
	scripts/install_openbao.sh

lint: ## formatting, clippy, the links of the documentation, the programs that scripts call; warnings are errors
	$(CARGO) fmt --all --check
	KEYROLL_REQUIRE_ABI_CHECK=1 $(CARGO) clippy --locked --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" KEYROLL_REQUIRE_ABI_CHECK=1 $(CARGO) doc --locked --no-deps --quiet
	scripts/check_programs.py

deny: ## licences, bans and sources of what is shipped, and advisories where github.com answers
	scripts/install_cargo_deny.sh
	$(CARGO_DENY) --locked check licenses bans sources
	@if $(CARGO_DENY) --locked --log-level off fetch db; then $(CARGO_DENY) --locked check advisories; \
	else echo "advisories NOT checked: the database could not be fetched from github.com" >&2; fi

unit: ## tests of the code, the C host program under valgrind, the command line, faults
	KEYROLL_REQUIRE_ABI_CHECK=1 $(CARGO) test --locked

mtr: build ## the suite in a real server
	scripts/mtr.sh

portable: ## the same for older systems, linked against glibc 2.31 (fetches Debian 11's libraries)
	scripts/install_packages.sh portable
	scripts/build_portable.sh

test-matrix: test-packages portable ## one binary in MariaDB 10.5, 10.11, 11.8: suites, upgrade, backups (fetches 300 MB, keeps 2.5 GB)
	KEYROLL_SO=$(abspath $(TARGET_DIR)/x86_64-unknown-linux-gnu/release/libkeyroll.so) \
	KEYROLL_BIN=$(abspath $(TARGET_DIR)/x86_64-unknown-linux-gnu/release/keyroll) scripts/server_matrix/run.sh

kills: build ## 30 random kills of a real server that rotates keys at work, then every row checked; a minute
	tests/soak/run.py --store keystore --kills 25
	tests/soak/run.py --store key-file --kills 5

moves: build ## 43 moves of key stores and data, restores, replicas, a cluster: each starts, each mistake is refused (as root)
	tests/moves/run.py

pages: build ## every command of the pages for a DBA's first week, as it stands there, on a real server (as root)
	tests/pages/run.py

examples: build ## every example of the documents, as it stands there, with a real server, OpenBao and moto; a minute (as root)
	tests/examples/run.py

decoder: build ## a second implementation, from the documents alone, reads what real servers encrypted; half a minute
	tests/decoder/run.py

attacks: build ## the known attacks on page ciphers, without a key, on real servers: what each cipher gives away; under two minutes
	tests/attacks/run.py

peer-suites: build ## MariaDB's own tests of file_key_management and hashicorp_key_management, with keyroll in their place
	tests/peer_suites/run.py

peer-suites-part: build ## those of each kind that are soon done
	tests/peer_suites/run.py --part

peer-suites-record: ## the same with the stock plugins: writes the list of those that pass
	tests/peer_suites/run.py --record

soak: test-packages build ## 1,000 such kills, after a proof that losses are found; most of an hour (STORE=key-file for that)
	tests/soak/prove.sh
	tests/soak/run.py --store $(or $(STORE),keystore) --kills 1000

crowd: test-packages build ## 200 connections that make tables and keys, rotate, are killed and leave: nothing lost, nothing grows; 15 minutes
	tests/crowd/run.py --growth
	tests/crowd/run.py --store $(or $(STORE),keystore) --minutes $(or $(MINUTES),10)

mutants: ## change the code that keys depend on, place by place: does a test fail? Many hours (FILE=src/... for a part; installs cargo-mutants)
	$(CARGO) mutants --version >/dev/null 2>&1 || $(CARGO) install --locked cargo-mutants@27.1.0
	scripts/mutants.sh $(FILE)

bench: ## key lookups beside the peer's, page ciphers beside OpenSSL, changes of a large keystore; ratios and times printed
	$(CARGO) bench --locked --bench key_lookup --bench page_ciphers --bench master_key_rotation

bench-server: test-packages build ## CPU per update, load, scan, re-encryption of a real server, beside the peer (10 minutes)
	benches/server/run.py

aarch64: ## the cipher tests on aarch64, under qemu; some five minutes
	scripts/test_aarch64.sh

miri: ## the memory of the keys under Miri: races, and what unsafe code may not do; four minutes (needs nightly with miri and rust-src)
	MIRIFLAGS=-Zmiri-disable-isolation $(CARGO) +nightly miri test --locked --lib --target-dir target/miri \
	  -- keys::ring secret::key_memory

asan: ## the tests of the code by itself under AddressSanitizer, the boundary among it (needs nightly)
	RUSTFLAGS=-Zsanitizer=address $(CARGO) +nightly test --locked --lib --target x86_64-unknown-linux-gnu \
	  --target-dir target/asan

fuzz: ## a minute of fuzzing of each parser, key file and keystore (needs cargo-fuzz and a nightly toolchain)
	cd fuzz && for target in key_file keystore; do $(CARGO) +nightly fuzz run $$target -- -max_total_time=60 || exit 1; done

deb: ## the Debian package mariadb-plugin-keyroll, in target/cmake
	scripts/install_packages.sh deb
	$(CONFIGURE)
	cmake --build $(PACKAGE_BUILD)
	cd $(PACKAGE_BUILD) && umask 022 && cpack -G DEB
	lintian --fail-on error --tag-display-limit 0 $(PACKAGE_BUILD)/mariadb-plugin-keyroll_*.deb

test-install: ## what cmake installs, where, and that nothing is written elsewhere; Ninja, offline and vendored builds (as root)
	$(CONFIGURE)
	scripts/test_install.sh $(PACKAGE_BUILD)
	scripts/test_cmake.sh

test-deb: deb ## install, encrypt, upgrade, remove, reinstall and purge it in a clean Debian 12 (as root)
	scripts/test_deb.sh $(PACKAGE_BUILD)

test-fresh: build ## the README's two commands in a clean Debian 12, as a user with sudo and as root (as root; an hour; QUICK=quick: the demo alone)
	scripts/test_fresh.sh $(QUICK)

server-tree: ## build keyroll in the source trees of MariaDB 10.11 and 11.8, run suites from there (fetches 230 MB, keeps 4 GB)
	scripts/test_server_tree.sh

sbom: ## the software bill of materials, CycloneDX, of what is linked into the plugin and the command
	scripts/make_sbom.sh

reproducible: ## build the package twice in different places: the same bytes? (two release builds)
	scripts/test_reproducible.sh

clean: ## remove what was built
	$(CARGO) clean
