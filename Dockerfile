# The relay as an image: one program, certificates, no shell, no root.
#
# Both images can be replaced, by the same ones pinned to a digest above all:
#   docker build --build-arg RUNTIME_IMAGE=gcr.io/distroless/cc-debian12:nonroot@sha256:… -t bloonio-relay .
ARG BUILD_IMAGE=rust:1.94-slim-bookworm
ARG RUNTIME_IMAGE=gcr.io/distroless/cc-debian12:nonroot

FROM ${BUILD_IMAGE} AS build
# aws-lc and SQLite are C.
RUN apt-get update && apt-get install -y --no-install-recommends gcc libc6-dev && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
RUN cargo build --release --locked -p bloonio-relay-server && mkdir /empty

# Debian 12's C library, as in the build, and CA certificates: without them the relay could speak to nobody over TLS.
FROM ${RUNTIME_IMAGE}
LABEL org.opencontainers.image.title="bloonio-relay-server" \
      org.opencontainers.image.description="Pushes approval prompts to phones and carries the decisions back" \
      org.opencontainers.image.licenses="MIT OR Apache-2.0"
COPY --from=build /src/target/release/bloonio-relay-server /usr/local/bin/bloonio-relay-server
# The only folder that is written to: everything else may be read-only (docker run --read-only).
COPY --from=build --chown=65532:65532 --chmod=0700 /empty /var/lib/bloonio
ENV RELAY_LISTEN=0.0.0.0:8700 RELAY_DATA_DIR=/var/lib/bloonio RELAY_LOG_FORMAT=json
VOLUME /var/lib/bloonio
EXPOSE 8700
USER 65532:65532
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=6s --start-period=30s --retries=3 \
    CMD ["/usr/local/bin/bloonio-relay-server", "healthcheck"]
ENTRYPOINT ["/usr/local/bin/bloonio-relay-server"]
CMD ["serve"]
