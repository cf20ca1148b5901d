# Two stages on two bases, both arguments; pin them by digest where a registry gives one. These print the digests and build with them:
#   docker buildx imagetools inspect golang:1.26.8-bookworm --format '{{.Manifest.Digest}}'
#   docker buildx imagetools inspect debian:bookworm-slim --format '{{.Manifest.Digest}}'
#   docker build --build-arg GO_BASE=golang@sha256:… --build-arg BASE=debian@sha256:… -t stuffed .
# For NVIDIA GPUs (make docker-gpu): SETUP="setup-lab setup-cuda" adds XLA for CUDA and NVIDIA's libraries, 3.8 GB, every wheel by its hash.
# REVISION is what results made in the image say of the sources: make docker gives the commit.
ARG GO_BASE=golang:1.26.8-bookworm
ARG BASE=debian:bookworm-slim

FROM ${GO_BASE} AS build
RUN apt-get update && apt-get install -y --no-install-recommends gcc libc6-dev make python3 python3-venv \
    && rm -rf /var/lib/apt/lists/*
ENV HOME=/home/stuffed GOPATH=/home/stuffed/go GOCACHE=/home/stuffed/.cache/go-build GOFLAGS=-buildvcs=false \
    GOTOOLCHAIN=local PATH=/usr/local/go/bin:/usr/bin:/bin
WORKDIR /home/stuffed/project
# What changes rarely comes first, so that it is built once.
COPY go.mod go.sum Makefile ./
COPY .ci .ci
ARG SETUP=setup-lab
RUN make ${SETUP}
COPY . .
ARG REVISION=
ENV STUFFED_REVISION=${REVISION}
# Builds the program and, through a notebook, what cells need, so that the image works without a network.
RUN make build && bin/stuffed notebooks run --dir pkg/notebook/testdata --scale smoke && rm -rf out "$HOME/.cache/stuffed/cells" \
    && find "$GOPATH/pkg/mod/cache/download" -name '*.zip' -delete && rm -rf /usr/local/go/test /usr/local/go/api /usr/local/go/doc

FROM ${BASE}
RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates gcc libc6-dev make python3 \
    && rm -rf /var/lib/apt/lists/* && useradd --create-home --uid 1000 --home-dir /home/stuffed analyst
COPY --from=build /usr/local/go /usr/local/go
COPY --from=build --chown=1000:1000 /home/stuffed /home/stuffed
USER analyst
ARG REVISION=
ENV STUFFED_REVISION=${REVISION}
# NVIDIA's container runtime passes the GPUs and the driver that these two ask for; nothing else reads them.
ENV HOME=/home/stuffed GOPATH=/home/stuffed/go GOCACHE=/home/stuffed/.cache/go-build GOFLAGS=-buildvcs=false \
    GOTOOLCHAIN=local GOPROXY=off PATH=/usr/local/go/bin:/usr/local/bin:/usr/bin:/bin \
    NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility
WORKDIR /home/stuffed/project
LABEL org.opencontainers.image.title="Stuffed Mamba in Go" org.opencontainers.image.licenses="Apache-2.0" \
    org.opencontainers.image.revision="${REVISION}" org.opencontainers.image.description="Trains, traces and analyses recurrent language models"
# What is made and what is changed outlives the container when volumes lie here:
# -v stuffed-lab:/home/stuffed/project/lab -v stuffed-out:/home/stuffed/project/out
RUN mkdir -p lab out
VOLUME /home/stuffed/project/lab
VOLUME /home/stuffed/project/out
EXPOSE 8888
# Healthy: the program starts, and JupyterLab answers where it runs.
HEALTHCHECK --interval=30s --timeout=10s --start-period=30s CMD .ci/healthy
CMD ["make", "lab", "IP=0.0.0.0"]
