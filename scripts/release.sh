#!/usr/bin/env bash
# Builds what is handed out, the same bytes from the same source and the same Go
# and C compilers, wherever it is built: an archive, what is in it (SBOM), and
# their checksums.
#
#   scripts/release.sh VERSION [DIRECTORY]    dist/release unless told
#
# The version is stamped by name and not by Git's state, so that an archive of the
# source gives the bytes that a clone does.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"
version=${1:?usage: scripts/release.sh VERSION [DIRECTORY]}
out=${2:-$root/dist/release}
# The C library of Envoy's images, see Dockerfile.
glibc=2.35

[[ $version =~ ^[A-Za-z0-9][A-Za-z0-9._+-]*$ ]] || {
  echo "error: $version is no version: letters, digits, dots, hyphens, underscores and plus signs" >&2
  exit 2
}
platform=$(go env GOOS)-$(go env GOARCH)
name=mcp-gateway-$version-$platform
rm -rf "$out"
mkdir -p "$out/$name"
out=$(cd "$out" && pwd)

build=(go build -trimpath -buildvcs=false)
CGO_ENABLED=0 "${build[@]}" -ldflags "-s -w -buildid= -X main.version=$version" -o "$out/$name/mcp-gateway" ./cmd/mcp-gateway
CGO_ENABLED=1 "${build[@]}" -buildmode=c-shared -ldflags '-s -w -buildid=' -o "$out/$name/libmcp_gateway.so" ./filter/dynamicmodule/lib
rm "$out/$name/libmcp_gateway.h"
scripts/golang.sh "$out/$name" -buildvcs=false -ldflags '-s -w -buildid=' >&2
rm "$out/$name/libmcp_gateway_golang.so" # one of the others, under another name
libraries=("$out/$name"/*.so)

# One that needs a newer C library than Envoy's images have would end Envoy.
for library in "${libraries[@]}"; do
  needs=$(readelf --version-info "$library" | grep -o 'GLIBC_[0-9.]*' | sed 's/GLIBC_//' | sort -uV | tail -n 1)
  [[ -n $needs && $(printf '%s\n' "$needs" "$glibc" | sort -V | tail -n 1) == "$glibc" ]] || {
    echo "error: ${library##*/} needs glibc $needs, Envoy's images have $glibc: build on an older system" >&2
    exit 1
  }
done

install -m 0644 LICENSE README.md config.example.yaml controlplane/source/file/config.schema.json "$out/$name"
install -d -m 0755 "$out/$name/docs"
install -m 0644 docs/*.md "$out/$name/docs" # which the README points to
chmod 0755 "$out/$name/mcp-gateway" "${libraries[@]}"
go run -C tools ./sbom mcp-gateway "$version" "$out/$name/mcp-gateway" "${libraries[@]}" >"$out/$name.cdx.json"
cp "$out/$name.cdx.json" "$out/$name/sbom.cdx.json"
tar --directory "$out" --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner --format=ustar -cf - "$name" |
  gzip --no-name --best >"$out/$name.tar.gz"
rm -r "${out:?}/$name"
(cd "$out" && sha256sum ./*.tar.gz ./*.cdx.json | sed 's# \./# #' >SHA256SUMS)
printf '%s\n' "$out/$name.tar.gz"
