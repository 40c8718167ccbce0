# An image with the Verdict binary and CA certificates, and nothing else:
#
#   docker build -t verdict .
#
# Base images are pinned by version. The stage "probed" adds wget for the health checks of
# docker-compose.yml, which run inside the container. Kubernetes calls /healthz and
# /readyz from outside and does not need it.
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
# The user "nonroot" of distroless images, which owns no files here.
USER 65532:65532
EXPOSE 9464
ENTRYPOINT ["/verdict"]

FROM base AS probed
COPY --from=busybox /bin/busybox /bin/wget

# The last stage is the default.
FROM base AS verdict
