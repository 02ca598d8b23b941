# Everything here makes its own environment in .venv; it needs Python 3.11 or newer, pip, make and git.
#   make demo ARGS="--scenario card"      make test ARGS="tests/unit -k topology"      make PYTHON=python3.12 ...

ARGS ?=
BIN := .venv/bin
export PYTHON

.PHONY: help demo test check test-kernel bench lock clean

help:
	@echo "make demo    the dashboard on simulated hardware"
	@echo "make test    all tests that need no virtual machine"
	@echo "make check   ruff, mypy, import-linter and the wheel's list of files"
	@echo "make test-kernel   the tests on real kernels in virtual machines (KERNEL=6.1, 6.12, newest; all)"
	@echo "make bench   speed and memory, beside lspci on the same trees"
	@echo "make lock    choose the newest versions of all dependencies anew (needs uv)"
	@echo "make clean   remove the environment and what the tools keep"

demo: .venv/.complete
	@$(BIN)/vfdeck demo $(ARGS)

test: .venv/.complete
	$(BIN)/pytest --numprocesses auto $(ARGS)

check: .venv/.complete
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/pytest --quiet tests/test_wheel.py

test-kernel: .venv/.complete
	@$(BIN)/python tests/kernel/launch.py $(foreach kernel,$(or $(KERNEL),all),--kernel $(kernel)) --timeout 4200 \
		-- $(or $(TESTS),tests/kernel tests/contract) $(ARGS)

bench: .venv/.complete
	@$(BIN)/python -m tests.bench $(ARGS)

.venv/.complete: .ci/venv requirements.lock pyproject.toml
	@sh .ci/venv

# Names, versions and hashes only: where packages come from is for each machine's own pip to say.
lock:
	uv pip compile pyproject.toml --group dev --universal --python-version 3.11 --upgrade \
		--generate-hashes --no-header --no-annotate --quiet --output-file requirements.lock

clean:
	rm -rf .venv .cache .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache dist build
