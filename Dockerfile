# Images of the gateway, one target each:
#
#   gateway  mcp-gateway alone, for the broker and the control plane
#   envoy    stock Envoy with the filter's module
#   demo     the two demo servers
#
# docker-compose.yaml builds all of them.
ARG GO_IMAGE=golang:1.26.8-bookworm
ARG ENVOY_IMAGE=envoyproxy/envoy:v1.39.3
ARG STATIC_IMAGE=gcr.io/distroless/static-debian12:nonroot

FROM ${GO_IMAGE} AS source
WORKDIR /src
COPY go.mod go.sum ./
RUN --mount=type=cache,target=/go/pkg/mod go mod download
COPY cmd cmd
COPY internal internal
COPY filter filter
COPY broker broker
COPY controlplane controlplane

FROM source AS programs
ARG VERSION=unknown
RUN --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/root/.cache/go-build \
    CGO_ENABLED=0 go build -trimpath -ldflags "-s -w -X main.version=${VERSION}" -o /out/ ./cmd/mcp-gateway ./cmd/mcp-demo

# The module is loaded by Envoy's image and meets the C library there: glibc
# 2.35 in the stock images (Ubuntu 22.04), 2.36 in the distroless ones. One that
# needs more would end Envoy at its start, so it ends the build.
FROM source AS module
ARG GLIBC=2.35
RUN --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/root/.cache/go-build \
    CGO_ENABLED=1 go build -buildmode=c-shared -trimpath -ldflags '-s -w' -o /out/libmcp_gateway.so ./filter/dynamicmodule/lib \
    && needs=$(readelf --version-info /out/libmcp_gateway.so | grep -o 'GLIBC_[0-9.]*' | sed 's/GLIBC_//' | sort -uV | tail -n 1) \
    && test -n "$needs" \
    && if [ "$(printf '%s\n' "$needs" "$GLIBC" | sort -V | tail -n 1)" != "$GLIBC" ]; then \
         echo "the module needs glibc $needs, Envoy's image has $GLIBC" >&2; exit 1; \
       fi
# What a volume that is mounted there first gets its owner from.
RUN install -d -o 65532 -g 65532 -m 0700 /out/secret

FROM ${STATIC_IMAGE} AS gateway
COPY --from=programs /out/mcp-gateway /usr/local/bin/mcp-gateway
USER 65532:65532
ENTRYPOINT ["/usr/local/bin/mcp-gateway"]
CMD ["version"]

FROM ${STATIC_IMAGE} AS demo
COPY --from=programs /out/mcp-demo /out/mcp-gateway /usr/local/bin/
USER 65532:65532
ENTRYPOINT ["/usr/local/bin/mcp-demo"]

FROM ${ENVOY_IMAGE} AS envoy
COPY --from=module --chown=65532:65532 /out/secret /run/mcp-gateway
COPY --from=programs /out/mcp-gateway /usr/local/bin/mcp-gateway
COPY --from=module /out/libmcp_gateway.so /usr/local/lib/mcp-gateway/libmcp_gateway.so
COPY --chmod=0755 envoy/compose/start.sh /usr/local/bin/start-envoy
ENV ENVOY_DYNAMIC_MODULES_SEARCH_PATH=/usr/local/lib/mcp-gateway
USER 65532:65532
CMD ["start-envoy"]
