# Verdict in an image with nothing else in it but the certificates of authorities:
#
#   docker build -t verdict .
#
# Images are pinned by version. The stage "probed" adds a wget, which
# docker-compose.yml needs for its health checks, since they run inside the
# container; Kubernetes asks /healthz and /readyz from outside, and needs none.
FROM golang:1.26.8-trixie AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN --mount=type=cache,target=/go/pkg/mod go mod download
COPY . .
ARG VERSION=devel
RUN --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/root/.cache/go-build \
    CGO_ENABLED=0 go build -trimpath -ldflags "-s -w -X verdict/internal/app.version=${VERSION}" -o /out/verdict ./cmd/verdict

FROM busybox:1.37.0-musl AS busybox

FROM scratch AS base
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /out/verdict /verdict
# "nonroot", as distroless has it: nothing here belongs to it.
USER 65532:65532
EXPOSE 9464
ENTRYPOINT ["/verdict"]

FROM base AS probed
COPY --from=busybox /bin/busybox /bin/wget

# Last, so that it is what is built unless another is asked for.
FROM base AS verdict
