# The only interface that newcomers need. Everything that is installed stays inside this folder.
SHELL := /bin/bash
SCALE ?= small
NB    ?=
PORT  ?= 8888
IP    ?= 127.0.0.1

# Without a C compiler the program is built without XLA; the embedded Go backend runs the same graphs.
NOXLA := $(shell printf '\043include <stdlib.h>\n' | $${CC:-gcc} -E - >/dev/null 2>&1 || echo -tags=noxla)
export GOFLAGS := $(strip -buildvcs=false $(NOXLA) $(GOFLAGS))
export PATH := $(CURDIR)/.tools/bin:$(PATH)

.PHONY: help setup setup-lab setup-python setup-cuda doctor build test lint figures notebooks html lab bench kernels docker docker-lab docker-gpu clean distclean

help:      ## this list
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/\1\t\2/p' Makefile | expand -t 12

setup:     ## tools, notebook runner, kernel and XLA plug-in, pinned by hash
	@.ci/setup

setup-lab: setup ## JupyterLab too
	@.ci/setup lab

setup-python: setup-lab ## pandas, matplotlib and DuckDB for notebooks/python too
	@.ci/setup python-lab

setup-cuda: setup ## XLA for NVIDIA GPUs, 3.8 GB
	@.ci/setup cuda

doctor:    ## what is missing, and why something is slow
	@.ci/doctor

build:     ## bin/stuffed
	go build -ldflags "-X stuffed/pkg/manifest.stamp=$$(.ci/revision)" -o bin/stuffed ./pkg/cmd/stuffed

test:      ## vet and all tests
	go vet ./...
	go test -timeout 20m ./...

lint: setup  ## gofmt, vet, staticcheck, what may be published
	@.ci/lint

# What fits a quarter of an hour on two cores, set-up and build included; 15 and 17 are left to make notebooks.
FIGURES := 01 02 03 04 05 06 07 08 09 10 11 12 13 14 16 22

figures: setup build ## draws the figures in minutes, in out, and says of each how it compares with the shipped one
	bin/stuffed notebooks run --scale $(SCALE) $(or $(NB),$(FIGURES))
	bin/stuffed figures check --dir out/$(SCALE)/figures
	bin/stuffed figures report out/$(SCALE)/figures

notebooks: setup build ## all notebooks, or NB="01 07"; SCALE=smoke, small or full
	bin/stuffed notebooks run --scale $(SCALE) $(NB)

html: setup build ## pages of the notebooks that have been run, in out/html
	bin/stuffed notebooks html $(NB)

# JupyterLab refuses root unless told; on this machine alone, with a token, it may.
ROOT := $(if $(filter 0,$(shell id -u)),--allow-root)

lab: setup-lab build ## JupyterLab on this machine only, with a token; opens copies of the notebooks, in lab
	@bin/stuffed notebooks copies lab
	cd lab && GOFLAGS="$(GOFLAGS) $$(cat ../.tools/link)" STUFFED_SCALE=$(SCALE) ../.venv/bin/jupyter lab --ip=$(IP) --port=$(PORT) --ServerApp.root_dir=$(CURDIR) \
		--LabApp.default_url=/lab/tree/lab/index.ipynb --LabApp.news_url=None \
		--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate $(ROOT) $(LAB_FLAGS)

bench: setup build ## writes out/bench.json
	bin/stuffed bench --output out/bench.json

kernels:   ## writes the texts of the Triton kernels and kernels.lock anew; needs no GPU
	@.ci/setup triton
	.venv/bin/python xla/triton/make.py

docker:    ## the image
	docker build --build-arg REVISION=$$(.ci/revision) -t stuffed .

docker-lab: docker ## JupyterLab from the image, on this machine alone
	docker run --rm -p 127.0.0.1:8888:8888 -v stuffed-lab:/home/stuffed/project/lab -v stuffed-out:/home/stuffed/project/out stuffed

docker-gpu: ## JupyterLab from an image with XLA for NVIDIA GPUs, on this machine alone; needs NVIDIA's container toolkit
	docker build --build-arg REVISION=$$(.ci/revision) --build-arg SETUP="setup-lab setup-cuda" -t stuffed:gpu .
	docker run --rm --gpus all -p 127.0.0.1:8888:8888 -v stuffed-lab:/home/stuffed/project/lab -v stuffed-out:/home/stuffed/project/out stuffed:gpu

clean:     ## removes what was built; installed tools stay (make distclean removes them too)
	rm -rf bin out

distclean: clean ## removes the installed tools too
	rm -rf .venv .tools .plugin .cache
