# make demo: the main job on the built-in example.   make test: the whole gate.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PEERS ?= trl
STAMP := $(VENV)/.installed

.PHONY: demo test lint types floors unit bench bench-data bench-gpu proof-check forgetting-check kill-check conformance clients client-node fuzz-serve vllm format lock schema clean

demo: $(STAMP)
	$(BIN)/burnish demo

test: lint types floors unit

lint: $(STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: $(STAMP)
	$(BIN)/mypy

floors: $(STAMP)
	$(BIN)/lint-imports

unit: $(STAMP)
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 --dist worksteal

# make bench DATA=FOLDER: the training step against TRL; PEERS="trl swift" for other peers too (trl llamafactory litgpt
# swift), ARGS="--workloads W1 --rows 96" for a part of it.
bench: bench-data $(STAMP) $(PEERS:%=.venv-%/.installed)
	$(BIN)/python benchmarks/bench.py "$(DATA)" $(ARGS)

# make bench-gpu: the training step on this machine's GPU; ARGS="--shapes 8B --prefix 300" and the like.
bench-gpu: $(STAMP)
	$(BIN)/python benchmarks/gpu.py $(ARGS)

# make proof-check: do the intervals cover, is noise called a gain? A quarter of an hour; ARGS=--quick for two minutes.
proof-check: $(STAMP)
	OMP_NUM_THREADS=1 $(BIN)/python scripts/proof_check.py $(ARGS)

# make forgetting-check DATA=FOLDER: does the reported forgetting hold on kinds of text that burnish has never seen? Ten
# trainings in WORK, an hour of one core; ARGS="--runs 3" for fewer. A run that is there is not made again.
WORK ?= runs/forgetting-check
forgetting-check: bench-data $(STAMP)
	OMP_NUM_THREADS=1 $(BIN)/python -m scripts.forgetting_check "$(DATA)" "$(WORK)" $(ARGS)

# make kill-check: does a job survive SIGKILL of the server and its process at 20 moments? Three minutes; ARGS="--seed 1".
kill-check: $(STAMP)
	OMP_NUM_THREADS=1 $(BIN)/python -m scripts.kill_check $(ARGS)

# make conformance: OpenAI's own tests of its client against a live `burnish serve`.
conformance: $(STAMP) .venv-conformance/.installed
	OMP_NUM_THREADS=1 $(BIN)/python -m conformance.run --suite-python .venv-conformance/bin/python $(ARGS)

# make clients: real clients, each in an environment of its own, against a live `burnish serve`. What cannot be installed
# is told and fails nothing.
CLIENTS := llm langchain openai-1 openai-2
clients: $(STAMP) $(CLIENTS:%=client-%) client-node
	OMP_NUM_THREADS=1 $(BIN)/python -m clients.run

client-node: clients/package.json
	@rm -f clients/node.failed; cd clients && npm install --silent --no-audit --no-fund --no-package-lock \
	  > node.log 2>&1 || mv node.log node.failed; rm -f node.log

client-%: clients/requirements-%.txt
	@test .venv-clients-$*/.installed -nt $< || { rm -rf .venv-clients-$*; $(PYTHON) -m venv .venv-clients-$* && \
	  .venv-clients-$*/bin/pip install -q --disable-pip-version-check -r $< > .venv-clients-$*/pip.log 2>&1 && \
	  touch .venv-clients-$*/.installed; } || echo "$@ could not be installed; its row says why"

# make fuzz-serve: ten thousand nearly right requests, and schemathesis, against a live `burnish serve`; ARGS="500 --seed 3".
fuzz-serve: $(STAMP) .venv-fuzz/.installed
	OMP_NUM_THREADS=1 $(BIN)/python -m scripts.fuzz_serve --schemathesis .venv-fuzz/bin/schemathesis $(ARGS)

# make vllm: vLLM for the CPU in an environment of its own, and its answers against those of burnish's own engine.
vllm: .venv-vllm/.installed
	OMP_NUM_THREADS=1 .venv-vllm/bin/python -m scripts.vllm_check $(ARGS)

# What it brings for pictures and sounds is built for GPUs and does not fit the torch for the CPU; text needs none of it.
.venv-vllm/.installed: scripts/requirements-vllm.txt pyproject.toml
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/pip install -q --disable-pip-version-check -r $< -e .
	$(@D)/bin/pip uninstall -q --disable-pip-version-check -y torchvision torchaudio torchcodec
	touch $@

.venv-fuzz/.installed: scripts/requirements-fuzz.txt
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/pip install -q --disable-pip-version-check -r $<
	touch $@

.venv-conformance/.installed: conformance/requirements.txt
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/pip install -q --disable-pip-version-check -r $<
	touch $@

bench-data:
	@test -d "$(DATA)" || { echo "make bench DATA=FOLDER: the folder of the datasets; see benchmarks/README.md"; exit 1; }

.venv-%/.installed: benchmarks/requirements-%.txt
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/pip install -q --disable-pip-version-check -r $<
	touch $@

format: $(STAMP)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# The lock admits one version of each package; no hashes, because torch has different builds under one version.
lock: $(STAMP)
	$(BIN)/pip install -q pip-tools
	$(BIN)/pip-compile -q --strip-extras --extra dev --no-emit-index-url --no-emit-find-links --no-annotate \
	  --no-header --no-emit-trusted-host --output-file requirements.lock pyproject.toml
	sed -i.bak -E "s/^(torch==[0-9.]+)\+.*/\1/; /^#/d; /^$$/d" requirements.lock && rm requirements.lock.bak

schema: $(STAMP)
	$(BIN)/burnish explain --schema > docs/recipe.schema.json

$(STAMP): requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("burnish needs Python 3.11 or newer; set PYTHON=python3.x")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install -q --disable-pip-version-check -r requirements.lock
	$(BIN)/pip install -q --disable-pip-version-check --no-deps -e .
	touch $(STAMP)

clean:
	rm -rf $(VENV) .venv-* build dist src/*.egg-info .mypy_cache .ruff_cache .pytest_cache
