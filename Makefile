# A thin layer over the CMake presets (CMakePresets.json) and scripts/; `make help` lists what there is.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.NOTPARALLEL:

# Debian's Python: the one for which install-dependencies installs packages.
PYTHON := /usr/bin/python3
BIN := build/release/bin
# What `make up` runs on; kept between runs, removed by `make clean`.
UP_DATA := build/up

.PHONY: help demo test up build simulate plots check format asan tsan fuzz bench kills redemptions images chart clean

help: ## List the targets
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/\1\t\2/p' $(MAKEFILE_LIST) | while IFS=$$'\t' read -r name text; do \
	  printf '  make %-11s %s\n' "$$name" "$$text"; done

demo: ## Install, build, and run the main job: two agents find each other and talk (FILE=path: send that file)
	@scripts/install-dependencies --demo
	@scripts/build release binaries
	@$(PYTHON) demo/demo.py --bin $(BIN) $(if $(FILE),--file '$(subst ','\'',$(FILE))')

test: ## Install, build, and run every test
	@scripts/install-dependencies --test
	@scripts/install-tools
	@scripts/build release
	@ctest --preset release

up: ## Run a whole local network in the foreground and say what to type next
	@scripts/install-dependencies --demo
	@scripts/build release binaries
	@exec $(BIN)/dotagent up --data-dir $(UP_DATA)

build: ## Build the programs into build/release/bin
	@scripts/install-dependencies --demo
	@scripts/build release binaries dotagent-sim

simulate: ## Simulate what the DHT must reach, and print it as a table (QUICK=1: a tenth of the size)
	@scripts/install-dependencies --demo
	@scripts/build release dotagent-sim
	@$(PYTHON) tests/simulation/simulate.py --bin $(BIN)/dotagent-sim $(if $(QUICK),--quick)

plots: ## Draw docs/images/*.svg from docs/simulation/*.json (RUN=1: simulate again first)
	@scripts/install-dependencies --plots
	@$(if $(RUN),scripts/build release dotagent-sim)
	@$(PYTHON) tests/simulation/plots.py --bin $(BIN)/dotagent-sim $(if $(RUN),--run)

check: ## Style checks: clang-format, clang-tidy, floors, shellcheck, buf, helm (scripts/check NAME runs one)
	@scripts/install-dependencies --test
	@scripts/install-tools
	@scripts/check

format: ## Format every C++ file in place
	@git ls-files -z '*.h' '*.cc' | xargs -0 clang-format-14 -i

asan: ## Unit tests under the address and undefined-behaviour sanitizers
	@scripts/install-dependencies --test
	@scripts/build asan 'unit_*' 'fuzz_*'
	@ctest --preset asan

tsan: ## Unit tests under the thread sanitizer
	@scripts/install-dependencies --test
	@scripts/build tsan 'unit_*' 'fuzz_*'
	@ctest --preset tsan

fuzz: ## Fuzz every parser for FUZZ_SECONDS each (default 60)
	@scripts/install-dependencies --test
	@scripts/build asan 'fuzz_*'
	@scripts/fuzz $(or $(FUZZ_SECONDS),60)

bench: ## Measure dotagent beside its peers, and write docs/benchmarks.md (some minutes; root, or user namespaces)
	@scripts/install-dependencies --bench
	@scripts/build release dotagent-bench
	@$(BIN)/dotagent-bench resolve --write docs/benchmarks.md
	@$(BIN)/dotagent-bench identity --write docs/benchmarks.md
	@$(BIN)/dotagent-bench authenticate --write docs/benchmarks.md
	@$(BIN)/dotagent-bench revoke --write docs/benchmarks.md
	@$(BIN)/dotagent-bench certificates --folder build/release --write docs/benchmarks.md
	@$(BIN)/dotagent-bench sessions --write docs/benchmarks.md
	@$(BIN)/dotagent-bench messages --write docs/benchmarks.md
	@$(BIN)/dotagent-bench flood --write docs/benchmarks.md
	@$(BIN)/dotagent-bench fan-out --write docs/benchmarks.md
	@$(BIN)/dotagent-bench talk --write docs/benchmarks.md
	@$(BIN)/dotagent-bench idle --write docs/benchmarks.md

kills: ## Kill gateways 400 times in the middle of sends, one for two agents, then one of two, and look whether anything was lost
	@scripts/install-dependencies --test
	@scripts/build release binaries mailer
	@DOTAGENT_BIN=$(BIN) PYTHONPATH=tests/integration $(PYTHON) tests/integration/inbox_kill_test.py --kills 200

redemptions: ## Redeem a million uses of capability tokens while identity's counting is killed 20 times
	@scripts/install-dependencies --test
	@scripts/build release use_writer
	@DOTAGENT_BIN=$(BIN) PYTHONPATH=tests/integration $(PYTHON) tests/integration/uses_test.py --redemptions 1000000 --kills 20

images: ## Build a container image of each service (needs docker, podman or buildah)
	@scripts/build-images

chart: ## Lint and render the Helm chart, and package it into build/chart
	@scripts/install-dependencies --test
	@scripts/install-tools
	@scripts/check chart
	@build/tools/bin/helm package --destination build/chart helm/dotagent

clean: ## Remove everything that was built
	@rm -rf build
