# make demo: install and train on a bundled set.   make test: install what the tests need, run every check and test.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMPS := $(VENV)/.stamps

.PHONY: demo test test-frameworks check lint types format bench bench-accuracy bench-doctor bench-language bench-digits-gan bench-transfer bench-forecast bench-translation bench-series bench-texts bench-speech bench-trials bench-many bench-formats bench-growth exam torture clean

demo: $(STAMPS)/dev
	$(BIN)/glia train digits

test: check

check: $(STAMPS)/dev lint types
	$(BIN)/python -m pytest -n auto

# Programs of Lightning, Transformers and Keras under the doctor, in an environment of their own.
FRAMEWORKS := .venv-frameworks
test-frameworks:
	test -x $(FRAMEWORKS)/bin/python || $(PYTHON) -m venv $(FRAMEWORKS)
	$(FRAMEWORKS)/bin/python -m pip install --quiet --editable ".[dev,frameworks]"
	$(FRAMEWORKS)/bin/python -m pytest tests/frameworks

lint: $(STAMPS)/dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: $(STAMPS)/dev
	$(BIN)/mypy glia torture

format: $(STAMPS)/dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# glia beside a plain loop, scikit-learn, skorch, Lightning, Keras and Hugging Face's Trainer, in an environment of their
# own; writes benchmarks/RESULTS.md. Hours. PART=steps, or PART="steps table lenet --rounds 3", for some of it.
BENCH := .venv-bench
bench: $(BENCH)/.stamp
	$(BENCH)/bin/python -m benchmarks.speed $(PART)

# The CPU build of torch, as for $(VENV), comes first: nothing else can pull in a larger one.
$(BENCH)/.stamp: benchmarks/requirements.txt pyproject.toml
	test -x $(BENCH)/bin/python || $(PYTHON) -m venv $(BENCH)
	$(BENCH)/bin/python -m pip install --quiet --upgrade pip
	$(BENCH)/bin/python -m pip install --quiet "$$(grep ^torch== benchmarks/requirements.txt)"
	$(BENCH)/bin/python -m pip install --quiet --requirement benchmarks/requirements.txt --editable ".[text]"
	touch $@

bench-accuracy: $(STAMPS)/dev
	$(BIN)/python -m benchmarks.accuracy

bench-doctor: $(STAMPS)/dev
	$(BIN)/python -m benchmarks.doctor_cost

# A small GPT on Shakespeare's letters; made-up digits that a classifier must name; networks that begin with weights of
# other pictures; the doctor's trials one by one and side by side. Minutes each.
bench-language: $(STAMPS)/dev
	$(BIN)/python -m benchmarks.language_model

bench-digits-gan: $(STAMPS)/dev
	$(BIN)/python -m benchmarks.digits_gan --out digits.png

bench-transfer: $(STAMPS)/dev
	$(BIN)/python -m benchmarks.transfer

bench-forecast: $(STAMPS)/dev
	$(BIN)/python -m benchmarks.forecast

bench-series: $(STAMPS)/dev
	$(BIN)/python -m benchmarks.series

bench-texts: $(STAMPS)/dev
	$(BIN)/python -m benchmarks.texts

bench-translation: $(STAMPS)/dev
	$(BIN)/python -m benchmarks.translation

bench-speech: $(STAMPS)/dev
	$(BIN)/python -m benchmarks.speech

bench-trials: $(STAMPS)/dev
	$(BIN)/python -m benchmarks.trials_together

# One small network, sixteen in a row and sixteen side by side.
bench-many: $(STAMPS)/dev
	$(BIN)/python -m benchmarks.many_at_once

# float32 and bfloat16 seed by seed for networks with batch norm; writes benchmarks/FORMATS.md. A quarter of an hour.
bench-formats: $(STAMPS)/dev
	$(BIN)/python -m benchmarks.formats

# Time and memory against rows, features, parameters, length; a CSV's size; pictures. PART="steps", PART="csv --most 5e9".
bench-growth: $(STAMPS)/dev
	$(BIN)/python -m benchmarks.growth $(PART)

# Draws training scripts, sick and healthy, lets the doctor see each, and writes the marks. Two hours on two cores.
EXAM := .exam
COUNT ?= 600
SEED ?= 0
exam: $(STAMPS)/dev
	test -d $(EXAM) || $(BIN)/python -m exam draw $(EXAM) --count $(COUNT) --seed $(SEED) --jobs 2
	$(BIN)/python -m exam run $(EXAM) --glia $(BIN)/glia --jobs 2
	$(BIN)/python -m exam mark $(EXAM) --markdown docs/doctor-exam.md

# Kills, full disks, flipped bits, hostile files: tries to break glia and writes RELIABILITY.md. N=1000, N=large: as often.
torture: $(STAMPS)/dev
	$(BIN)/python -m torture $(NAMES) $(if $(N),N=$(N))

# The dev extra pins a CPU build of torch; installed first, nothing else can pull in a larger one.
$(STAMPS)/dev: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable ".[dev]"
	mkdir -p $(STAMPS)
	touch $@

clean:
	rm -rf $(VENV) $(FRAMEWORKS) $(BENCH) $(EXAM) .pytest_cache .mypy_cache .ruff_cache
