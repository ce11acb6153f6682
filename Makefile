# demo: a comparison on the digits from nothing; test: every test that needs no cluster, GPU or download; lint: style;
# bench: figures of a CPU; gpu: figures of a GPU, as in `make gpu GIVEN=--plan`, by what Python is there.
PYTHON ?= python3
export PATH := $(CURDIR)/.venv/bin:$(PATH)
DEMO = examples/digits

.PHONY: demo test lint bench gpu

demo: .venv/installed
	snakemake results/report_100.zip --directory $(DEMO) --cores 2
	@python -m condense show $(DEMO)/results/scores_100.csv
	@echo "Table: $(DEMO)/results/fid_100.csv. Report: $(DEMO)/results/report_100.zip (unpack, open report.html)."

test: .venv/installed
	pytest -n 2 --dist loadfile -m "not slurm and not install"

lint: .venv/installed
	ruff check .
	ruff format --check .
	snakefmt --check Snakefile workflow/rules
	snakemake --lint --directory $(DEMO)

bench: .venv/installed
	for file in benchmarks/*.py; do python $$file || exit 1; done

gpu:
	PYTHONPATH=workflow:tests:$$PYTHONPATH python3 -m benchmarks.gpu $(GIVEN)

.venv/installed: requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(None if sys.version_info >= (3, 11) else "condense needs Python 3.11 or newer; name one with make PYTHON=python3.11")'
	$(PYTHON) -m venv .venv
	pip install --disable-pip-version-check --quiet --requirement requirements.txt
	pip install --disable-pip-version-check --quiet --no-deps --editable .
	touch $@
