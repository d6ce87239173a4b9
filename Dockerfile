# syntax=docker/dockerfile:1
#
#   docker build -t attache:0.1.0 .
#   docker buildx build --platform linux/amd64,linux/arm64 -t attache:0.1.0 .
#
# The compiler runs on the platform that builds, whatever the image is for: nothing is emulated.
ARG RUST_VERSION=1.95

FROM --platform=$BUILDPLATFORM rust:${RUST_VERSION}-slim-bookworm AS build
# amd64 or arm64, of the image.
ARG TARGETARCH
WORKDIR /src
# ring's C code needs a compiler for the target, and headers: any libc's, for it is freestanding.
RUN set -eu; \
    case "$TARGETARCH" in \
      amd64) echo x86_64 >/arch ;; \
      arm64) echo aarch64 >/arch ;; \
      *) echo "no image for $TARGETARCH" >&2; exit 1 ;; \
    esac; \
    rustup target add "$(cat /arch)-unknown-linux-musl"; \
    if [ "$TARGETARCH" != "$(dpkg --print-architecture)" ]; then \
      apt-get update; \
      apt-get install -y --no-install-recommends \
        "gcc-$(tr _ - </arch)-linux-gnu" "libc6-dev-$TARGETARCH-cross"; \
      rm -rf /var/lib/apt/lists/*; \
    fi
# Downloaded again only when they change.
COPY Cargo.toml Cargo.lock ./
RUN mkdir -p src bench \
    && touch src/lib.rs src/main.rs bench/bare_hyper.rs bench/watchers.rs \
    && cargo fetch --locked --target "$(cat /arch)-unknown-linux-musl" --target "$(rustc --print host-tuple)"
COPY .cargo .cargo
COPY bench bench
COPY src src
# What is built of the dependencies stays on the machine that builds, for the next time.
RUN --mount=type=cache,id=attache-$TARGETARCH,target=/src/target,sharing=locked \
    arch=$(cat /arch) && target="$arch-unknown-linux-musl" \
    && export "CC_${arch}_unknown_linux_musl=$arch-linux-gnu-gcc" \
    && touch src/lib.rs src/main.rs \
    && cargo build --release --locked --target "$target" --bin attache \
    && install -D -m 755 "target/$target/release/attache" /out/attache

FROM scratch
ARG VERSION=0.1.0
ARG REVISION=
LABEL org.opencontainers.image.title="attache" \
      org.opencontainers.image.description="The configuration sidecar for Kubernetes" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
# The authorities that webhooks of rules are held against, where these name none of their own.
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /out/attache /attache
# A number, so that the kubelet can hold it against runAsNonRoot.
USER 65532:65532
EXPOSE 8001
ENTRYPOINT ["/attache"]
CMD ["run"]
