# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
#
#   make demo    localizes real photographs through the node and writes a report
#   make test    runs every test, with the coverage gate
#   make lint    format, lint and types
#   make bench   matching, the network, and the node's own overhead at 640x480, 30 Hz
#   make gpu-check   kernels, engines, parity and training on the GPU; resumes where it stopped
#   make setup   the environment alone: .venv and install/ (the others call it)
#   make clean   removes the environment and what was built; maps, bags and reports stay
#
# PYTHON=python3.12      another interpreter for the environment
# TEST_ARGS="-k camera"  other arguments for pytest, without the coverage gate
#
# pip's own settings hold. On a machine without a GPU, PIP_EXTRA_INDEX_URL=<PyTorch's CPU index> saves some
# gigabytes: its build of torch is taken instead of the one with CUDA.

SHELL := /bin/bash
# The environment's own, so that it stays what it was made with; at first, the system's.
PYTHON ?= $(or $(wildcard .venv/bin/python3),python3)
# The gate is here, not in pyproject.toml: `colcon test` measures coverage, too, of whatever it runs.
TEST_ARGS ?= --cov --cov-report=term --cov-fail-under=97 --durations=15

IN_ENVIRONMENT := source install/setup.bash &&

.PHONY: setup test demo lint bench gpu-check clean

setup:
	@$(PYTHON) tools/set_up.py

test: setup
	@$(IN_ENVIRONMENT) python3 -m pytest $(TEST_ARGS)

demo: setup
	@$(IN_ENVIRONMENT) python3 -m mast3r_ros demo

bench: setup
	@$(IN_ENVIRONMENT) python3 -m bench

gpu-check: setup
	@$(IN_ENVIRONMENT) python3 -m bench.gpu_check
	@$(IN_ENVIRONMENT) python3 -m bench.training tiny --device cuda

lint: setup
	@$(IN_ENVIRONMENT) python3 tools/lint.py

clean:
	rm -rf .venv build install log *.egg-info
	rm -rf .coverage .coverage.* .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
