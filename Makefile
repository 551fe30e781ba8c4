# The two commands are `make demo` and `make test`; what they need is set up first, and only once.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.ONESHELL:
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help
.PHONY: help setup demo test test-compiled compile lint docs bench peers peers-demo compiler clean

VENV := .venv
BIN := $(VENV)/bin

# Debian packages that the demo and the tests call, as PACKAGE:PROGRAM:WHAT-IS-LEFT-OUT-WITHOUT-IT.
DEMO_PEERS := sip-tester:sipp:demo,tests/scenarios,bench
TEST_PEERS := $(DEMO_PEERS) kamailio:kamailio:tests/interop,bench sipsak:sipsak:tests/interop \
	baresip-core:baresip:tests/interop linphone-cli:linphonec:tests/interop sngrep:sngrep:tests/interop \
	tmux:tmux:tests/interop prometheus:prometheus:tests/system chromium:chromium:tests/system \
	nginx-light:nginx:tests/system haproxy:haproxy:tests/system npm:npm:tests/system \
	docker-compose:docker-compose:tests/system fail2ban:fail2ban-regex:tests/system iproute2:tc:tests/system \
	systemd:systemd-analyze:tests/system util-linux:unshare:tests/system \
	curl:curl:tests/docs sqlite3:sqlite3:tests/docs kamailio-tls-modules:tls.so:tests/system

help:
	@echo 'make demo    set up, then two transferred calls through the proxy and their traces'
	echo 'make test    set up, then all tests (ARGS="-k word" are handed to pytest)'
	echo 'make lint    ruff and mypy'
	echo 'make docs    the documentation as a site, in site/'
	echo 'make bench   calls per second and CPU per call, beside Sippy and Kamailio'
	echo 'make compile the core compiled by mypyc, in .compiled: half the CPU per call'
	echo 'make test-compiled  the tests of the core once more, on the compiled core'
	echo 'make setup   what the others do first: $(VENV) and the programs that the tests call'
	echo 'make clean   remove $(VENV) and caches'

demo: peers-demo $(VENV)/.ready
	@$(BIN)/sipproxy demo

# Two files at a time, each by one process, since what a file starts it starts once; then, one by one, those that
# measure. 5: none of them was asked for.
test: setup
	@first=0 second=0
	$(BIN)/python -m pytest -n 2 --dist loadfile -m 'not alone' $(ARGS) || first=$$?
	if [ $$first -ne 0 ] && [ $$first -ne 5 ]; then exit $$first; fi
	$(BIN)/python -m pytest -m alone $(ARGS) || second=$$?
	if [ $$second -eq 5 ]; then exit $$first; fi
	exit $$second

lint: $(VENV)/.ready
	@$(BIN)/ruff check .
	$(BIN)/mypy

docs: $(VENV)/.ready
	@$(BIN)/python tools/docs_site.py

bench: setup compile
	@$(BIN)/python -m bench

compile: compiler $(VENV)/.ready
	@$(BIN)/python tools/compile_core.py

# Stand-ins and doctests need the interpreted classes: those tests are marked.
CORE_TESTS := tests/unit/sip tests/unit/propagation tests/unit/b2bua tests/lab tests/torture tests/unit/telemetry
test-compiled: setup compile
	@$(BIN)/python -m pytest -o 'pythonpath=.compiled .' -m 'not interpreted' $(CORE_TESTS) $(ARGS)

setup: peers $(VENV)/.ready

# Made anew when pyproject.toml changes, and when its interpreter has gone.
ifneq ($(wildcard $(VENV)/.ready),)
ifneq ($(shell $(BIN)/python -c 'print(1)' 2>/dev/null),1)
$(shell rm -f $(VENV)/.ready)
endif
endif

$(VENV)/.ready: pyproject.toml
	@for python in $(PYTHON) python3 python3.14 python3.13 python3.12 python3.11; do
		if "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then break; fi
		python=
	done
	test -n "$$python" || { echo 'Python 3.11 or later is needed; name it with PYTHON=...' >&2; exit 1; }
	if ! "$$python" -c 'import ensurepip, venv' 2>/dev/null; then
		if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
			version=$$("$$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
			apt-get update -qq
			DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "python$$version-venv"
		else
			echo "$$python cannot make virtual environments: install python3-venv" >&2; exit 1
		fi
	fi
	echo "setting up $(VENV) with $$("$$python" --version)"
	$(BIN)/python -c 'import pip' 2>/dev/null || "$$python" -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	touch $@

peers-demo: PEERS := $(DEMO_PEERS)
peers: PEERS := $(TEST_PEERS)
peers peers-demo:
	@missing() {
		for peer in $(PEERS); do
			IFS=: read -r package program left_out <<< "$$peer"
			PATH="$$PATH:/usr/sbin:/usr/local/sbin" command -v "$$program" >/dev/null && continue
			compgen -G "/usr/lib/*/kamailio/modules/$$program" >/dev/null || echo "$$package $$left_out"
		done
	}
	wanted=$$(missing)
	if [ -z "$$wanted" ]; then exit 0; fi
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
		packages=$$(cut -d' ' -f1 <<< "$$wanted" | tr '\n' ' ')
		echo "installing $$packages"
		export DEBIAN_FRONTEND=noninteractive
		{ apt-get update -qq && apt-get install -y -qq --no-install-recommends $$packages >/dev/null; } || true
		# Debian starts what it installs; the tests want the program, and nobody wants a SIP server by surprise.
		if [ -d /run/systemd/system ]; then
			for service in kamailio nginx haproxy fail2ban prometheus; do
				if grep -qw "$$service" <<< "$$packages"; then
					systemctl disable --quiet --now "$$service.service" || true
				fi
			done
		fi
		wanted=$$(missing)
		if [ -z "$$wanted" ]; then exit 0; fi
	fi
	while read -r package left_out; do
		echo "missing: $$package (apt install $$package); left out without it: $${left_out//,/, }" >&2
	done <<< "$$wanted"
	if [ "$${CI:-}" = true ]; then exit 1; fi

# mypyc needs a C compiler and the headers of the Python in use.
compiler: $(VENV)/.ready
	@headers() { test -f "$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("include"))')/Python.h"; }
	if command -v gcc >/dev/null && headers; then exit 0; fi
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
		echo 'installing gcc and python3-dev'
		apt-get update -qq
		DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends gcc libc6-dev python3-dev >/dev/null
	fi
	if command -v gcc >/dev/null && headers; then exit 0; fi
	echo 'missing: gcc and python3-dev (apt install gcc libc6-dev python3-dev)' >&2
	exit 1

clean:
	@rm -rf $(VENV) .bench .compiled site .mypy_cache .pytest_cache .ruff_cache .hypothesis .benchmarks
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
