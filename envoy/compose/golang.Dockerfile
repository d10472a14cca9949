# Image of Envoy's contrib build with the filter as a library for its filter for Go,
# in the place of the stock image with a dynamic module:
#
#   docker compose --profile golang up --build --wait
#
# The library goes with one minor version of Envoy, see docs/custom-envoy.md.
ARG GO_IMAGE=golang:1.26.8-bookworm
ARG ENVOY_IMAGE=envoyproxy/envoy:contrib-v1.39.1

FROM ${GO_IMAGE} AS source
WORKDIR /src
COPY go.mod go.sum ./
RUN --mount=type=cache,target=/go/pkg/mod go mod download
COPY cmd cmd
COPY internal internal
COPY filter filter
COPY broker broker
COPY controlplane controlplane

FROM source AS built
ARG VERSION=unknown
ARG GLIBC=2.35
RUN --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/root/.cache/go-build \
    CGO_ENABLED=0 go build -trimpath -ldflags "-s -w -X main.version=${VERSION}" -o /out/ ./cmd/mcp-gateway \
    && CGO_ENABLED=1 go build -buildmode=c-shared -trimpath -ldflags '-s -w' -o /out/libmcp_gateway_golang.so ./filter/golang/lib \
    && needs=$(readelf --version-info /out/libmcp_gateway_golang.so | grep -o 'GLIBC_[0-9.]*' | sed 's/GLIBC_//' | sort -uV | tail -n 1) \
    && test -n "$needs" \
    && if [ "$(printf '%s\n' "$needs" "$GLIBC" | sort -V | tail -n 1)" != "$GLIBC" ]; then \
         echo "the library needs glibc $needs, Envoy's image has $GLIBC" >&2; exit 1; \
       fi

FROM ${ENVOY_IMAGE} AS envoy-golang
COPY --from=built /out/mcp-gateway /usr/local/bin/mcp-gateway
COPY --from=built /out/libmcp_gateway_golang.so /usr/local/lib/mcp-gateway/libmcp_gateway_golang.so
COPY --chmod=0755 envoy/compose/start.sh /usr/local/bin/start-envoy
ENV MCP_GATEWAY_FILTER_HOST=golang
USER 65532:65532
CMD ["start-envoy"]
