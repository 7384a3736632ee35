# Everything is installed into $(VENV), with the versions that constraints.txt pins.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PIN := -c constraints.txt
SOURCES := setup.py pyproject.toml constraints.txt $(shell find csrc swin_umamba_ext python -type f \
	-not -name '*.pyc' -not -name '*.so' -not -path '*/__pycache__/*')
# The tests build with the cmake and ninja that are installed there.
export PATH := $(abspath $(BIN)):$(PATH)
# For the tests, as swin_umamba/common/processors.py does for trainings: idle threads soon sleep.
ifndef OMP_WAIT_POLICY
export GOMP_SPINCOUNT ?= 4000
endif

# What clang-tidy reads the kernels for: the widest instruction set.
TIDY_SET := $(if $(filter x86_64,$(shell uname -m)),-march=x86-64-v4 -DSWIN_ISA=avx512)
TORCH_TARGET := $(shell sed -n 's/^TORCH_TARGET_VERSION = "\(.*\)"/\1/p' setup.py)

.PHONY: train test coverage test-slow lint tidy format docs wheel clean

train: $(STAMP)  ## Train Swin-UMamba† on the sample data set, score it and draw the result.
	$(BIN)/python train.py

test: $(STAMP)  ## Run the tests.
	$(BIN)/python -m pytest

coverage: $(STAMP)  ## Run the tests and list the lines of the packages that they leave out; below 95 % is an error.
	$(BIN)/coverage erase
	$(BIN)/coverage run $(BIN)/pytest  # with -m, the checkout would hide the installed operators
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

test-slow: $(STAMP)  ## Run the tests that take longer than half a minute.
	$(BIN)/python -m pytest -m slow

lint: $(STAMP) tidy  ## Check style, types and the layers.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	PYTHONPATH=python $(BIN)/lint-imports --no-cache
	$(BIN)/mypy
	find csrc tests benchmarks -name '*.h' -o -name '*.cpp' -o -name '*.cu' | xargs $(BIN)/clang-format --dry-run --Werror

# The CUDA sources are left to nvcc, whose warnings are errors (.ci/run).
tidy: $(STAMP)  ## Look for mistakes in the C++ sources.
	find csrc/kernels/cpu csrc/torch -name '*.cpp' | xargs -P "$$(getconf _NPROCESSORS_ONLN)" -I FILE $(BIN)/clang-tidy --quiet FILE -- \
		-std=c++17 -Wno-psabi $(TIDY_SET) -DTORCH_TARGET_VERSION=$(TORCH_TARGET) \
		-isystem "$$($(BIN)/python -c 'import torch; print(torch.__path__[0])')/include"

format: $(STAMP)  ## Put the sources into style.
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	find csrc tests benchmarks -name '*.h' -o -name '*.cpp' -o -name '*.cu' | xargs $(BIN)/clang-format -i

docs: $(STAMP)  ## Build the site into build/site; a dead link is an error.
	$(BIN)/pip install --quiet $(PIN) mkdocs-material mkdocstrings-python
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet

wheel: $(STAMP)  ## Build both wheels into dist/ and audit the use of the limited API.
	rm -rf dist build/lib* build/temp* build/bdist*
	SWIN_UMAMBA_PART=operators $(BIN)/pip wheel . --no-deps --no-build-isolation -w dist
	SWIN_UMAMBA_PART=product $(BIN)/pip wheel . --no-deps --no-build-isolation -w dist
	$(BIN)/abi3audit --strict dist/swin_umamba_ext-*.whl

$(STAMP): $(SOURCES)
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet $(PIN) torch numpy setuptools ninja pip
	$(BIN)/pip install $(PIN) --no-build-isolation '.[test,lint]'
	touch $@

clean:
	rm -rf build dist $(VENV)
