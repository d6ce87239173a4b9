# syntax=docker/dockerfile:1
#
#   docker build -t attache:0.1.0 .
#
# For arm64, build on an arm64 machine: ring's C code needs a C compiler for the target.
#   docker build --build-arg TARGET=aarch64-unknown-linux-musl -t attache:0.1.0 .
ARG RUST_VERSION=1.95

FROM rust:${RUST_VERSION}-slim-bookworm AS build
ARG TARGET=x86_64-unknown-linux-musl
RUN apt-get update \
    && apt-get install -y --no-install-recommends musl-tools \
    && rm -rf /var/lib/apt/lists/* \
    && rustup target add "$TARGET"
ENV CC_x86_64_unknown_linux_musl=musl-gcc \
    CC_aarch64_unknown_linux_musl=musl-gcc
WORKDIR /src
COPY . .
RUN cargo build --release --locked --target "$TARGET" \
    && install -D -m 755 "target/$TARGET/release/attache" /out/attache

FROM scratch
ARG VERSION=0.1.0
ARG REVISION=
LABEL org.opencontainers.image.title="attache" \
      org.opencontainers.image.description="The configuration sidecar for Kubernetes" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=build /out/attache /attache
# A number, so that the kubelet can hold it against runAsNonRoot.
USER 65532:65532
EXPOSE 8001
ENTRYPOINT ["/attache"]
CMD ["run"]
