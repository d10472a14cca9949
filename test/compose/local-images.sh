#!/usr/bin/env bash
# Stand-ins for the base images, under their own names and tags, for a machine
# that reaches no image registry. They have what the real ones have for this
# project (users, entry points, paths, what is missing), made from Debian
# packages, this machine's Go, and the pinned Envoy.
#
#   test/compose/local-images.sh IMAGE...
#
# They are no substitute anywhere else: never make them in a daemon that other
# work uses, which would take them for the real ones.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
readonly root
readonly docker=$root/.tools/docker
readonly files=$root/.tools/docker/stand-ins
readonly label=mcp-gateway.stand-in

say() { printf '    %s\n' "$*" >&2; }

die() {
  printf 'error: %s\n' "$*" >&2
  exit 1
}

# mirror prints where this machine's apt finds Debian 12; nothing if it does not
# know, then debootstrap has a default.
mirror() {
  # shellcheck disable=SC2016 # the names are apt's
  apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Codename: bookworm' 'Origin: Debian' \
    2>/dev/null | head -n 1
}

# rootfs NAME [PACKAGE...] makes a Debian 12 with the packages in $files/NAME,
# once.
rootfs() {
  local name=$1 include=ca-certificates
  shift
  [[ $# -eq 0 ]] || include+=,$(
    IFS=,
    echo "$*"
  )
  [[ -f $files/$name.done ]] && return
  say "debootstrap: Debian 12 with $include"
  rm -rf "${files:?}/$name"
  mkdir -p "$files/packages"
  DEBOOTSTRAP_DIR=$docker/root/usr/share/debootstrap nice -n 10 "$docker/root/usr/sbin/debootstrap" \
    --variant=minbase --include="$include" --cache-dir="$files/packages" \
    bookworm "$files/$name" "$(mirror)" >"$files/$name.log" 2>&1 || die "debootstrap failed, see $files/$name.log"
  rm -rf "$files/$name"/var/cache/apt/*.bin "$files/$name"/var/cache/apt/archives/*.deb "$files/$name"/var/lib/apt/lists/*
  touch "$files/$name.done"
}

# current IMAGE VERSION reports whether the daemon has IMAGE as made by this
# version of the recipe.
current() {
  [[ $(docker image inspect --format "{{index .Config.Labels \"$label\"}}" "$1" 2>/dev/null) == "$2" ]]
}

# import IMAGE VERSION DIRECTORY INSTRUCTION... makes an image of one layer.
import() {
  local image=$1 version=$2 from=$3 changes=()
  shift 3
  for change in "$@" "LABEL $label=$version"; do changes+=(--change "$change"); done
  say "stand-in for $image"
  tar --numeric-owner -C "$from" -c . | docker import "${changes[@]}" - "$image" >/dev/null
}

readonly path=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin

# The compiler, and the modules of go.sum in place of the module proxy, so that
# a build needs no network.
golang() {
  local image=$1 goroot version modules=$files/modules
  goroot=$(go env GOROOT)
  version=$(cat "$goroot/VERSION" "$root/go.mod" "$root/go.sum" | sha256sum | cut -c 1-16)
  current "$image" "$version" && return
  rootfs golang gcc libc6-dev
  say "collecting the Go modules"
  rm -rf "$modules"
  (cd "$root" && GOMODCACHE=$modules GOFLAGS=-modcacherw GOPROXY="file://$(go env GOMODCACHE)/cache/download,$(go env GOPROXY)" \
    go mod download) || die "the Go modules cannot be downloaded"
  rm -rf "$files/golang/usr/local/go" "$files/golang/go" "$files/golang/opt/modules"
  mkdir -p "$files/golang/opt/modules" "$files/golang/go/bin" "$files/golang/go/src"
  cp -a "$modules/cache/download/." "$files/golang/opt/modules/"
  cp -aL "$goroot" "$files/golang/usr/local/go"
  import "$image" "$version" "$files/golang" "ENV PATH=/go/bin:/usr/local/go/bin:$path" "ENV GOPATH=/go" \
    "ENV GOTOOLCHAIN=local" "ENV GOPROXY=file:///opt/modules" "ENV GOSUMDB=off" "WORKDIR /go" 'CMD ["bash"]'
  rm -rf "$modules" "$files/golang/usr/local/go" "$files/golang/opt/modules"
}

# contrib is the stock Envoy with test/golanghost in the place of contrib's filter for
# Go: a build with that filter is had nowhere else.
contrib() {
  local image=$1 version envoy dir=$files/contrib
  envoy=$("$root/scripts/tools.sh" envoy)
  version=$(cat "$root"/test/golanghost/{host/*,contrib/*,*.go} <(printf %s "$envoy") | sha256sum | cut -c 1-16)
  current "$image" "$version" && return
  rootfs bookworm
  rm -rf "$dir"
  cp -a "$files/bookworm" "$dir"
  install -D --mode 0755 "$(readlink -f "$envoy")" "$dir/usr/local/lib/golanghost/envoy"
  "$root/scripts/golanghost.sh" "$dir/usr/local/lib/golanghost/libgolanghost.so"
  (cd "$root" && CGO_ENABLED=0 go build -trimpath -o "$dir/usr/local/bin/envoy" ./test/golanghost/contrib)
  import "$image" "$version" "$dir" "ENV PATH=$path" "ENV GOLANGHOST_ENVOY=/usr/local/lib/golanghost/envoy" \
    "ENV GOLANGHOST_MODULE=/usr/local/lib/golanghost" 'CMD ["envoy", "-c", "/etc/envoy/envoy.yaml"]' "EXPOSE 10000"
  rm -rf "$dir"
}

# As the real one: started as root it would change to the user envoy; there is
# a shell, and neither curl nor wget.
envoy() {
  local image=$1 binary version
  version=${image##*:v}
  binary=$("$root/scripts/tools.sh" envoy "$version")
  current "$image" "$version" && return
  rootfs bookworm
  rm -rf "$files/envoy"
  cp -a "$files/bookworm" "$files/envoy"
  chroot "$files/envoy" groupadd --system --gid 101 envoy
  chroot "$files/envoy" useradd --system --uid 101 --gid envoy --home-dir /home/envoy --no-create-home --shell /usr/sbin/nologin envoy
  install -D --mode 0755 "$(readlink -f "$binary")" "$files/envoy/usr/local/bin/envoy"
  mkdir -p "$files/envoy/etc/envoy"
  cat >"$files/envoy/docker-entrypoint.sh" <<'ENTRYPOINT'
#!/usr/bin/env sh
set -e
case $1 in
-*) set -- envoy "$@" ;;
esac
if [ "$(id -u)" = 0 ]; then
  exec setpriv --reuid envoy --regid envoy --init-groups "$@"
fi
exec "$@"
ENTRYPOINT
  chmod 0755 "$files/envoy/docker-entrypoint.sh"
  import "$image" "$version" "$files/envoy" "ENV PATH=$path" 'ENTRYPOINT ["/docker-entrypoint.sh"]' \
    'CMD ["envoy", "-c", "/etc/envoy/envoy.yaml"]' "EXPOSE 10000"
  rm -rf "$files/envoy"
}

redis() {
  local image=$1 version=1
  current "$image" "$version" && return
  rootfs redis redis-server
  mkdir -p "$files/redis/data"
  chroot "$files/redis" chown redis:redis /data
  cat >"$files/redis/usr/local/bin/docker-entrypoint.sh" <<'ENTRYPOINT'
#!/bin/sh
set -e
case $1 in
-* | *.conf) set -- redis-server "$@" ;;
esac
if [ "$1" = redis-server ] && [ "$(id -u)" = 0 ]; then
  exec setpriv --reuid redis --regid redis --init-groups "$@"
fi
exec "$@"
ENTRYPOINT
  chmod 0755 "$files/redis/usr/local/bin/docker-entrypoint.sh"
  import "$image" "$version" "$files/redis" "ENV PATH=$path" 'ENTRYPOINT ["docker-entrypoint.sh"]' \
    'CMD ["redis-server"]' "VOLUME /data" "WORKDIR /data" "EXPOSE 6379"
}

# No shell, no libc: certificates, a user and a place for temporary files.
static() {
  local image=$1 version=1 dir=$files/static
  current "$image" "$version" && return
  rootfs bookworm
  rm -rf "$dir"
  mkdir -p "$dir/etc/ssl/certs" "$dir/home/nonroot" "$dir/root" "$dir/tmp"
  cp -L "$files/bookworm/etc/ssl/certs/ca-certificates.crt" "$dir/etc/ssl/certs/"
  printf '%s\n' root:x:0:0:root:/root:/sbin/nologin nobody:x:65534:65534:nobody:/nonexistent:/sbin/nologin \
    nonroot:x:65532:65532:nonroot:/home/nonroot:/sbin/nologin >"$dir/etc/passwd"
  printf '%s\n' root:x:0: nobody:x:65534: nonroot:x:65532: >"$dir/etc/group"
  chown 65532:65532 "$dir/home/nonroot"
  chmod 1777 "$dir/tmp"
  import "$image" "$version" "$dir" "ENV PATH=$path" "ENV SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt" \
    "USER 65532" "WORKDIR /home/nonroot"
}

[[ $EUID -eq 0 ]] || die "debootstrap needs root"
mkdir -p "$files"
for image in "$@"; do
  case $image in
  golang:*-bookworm) golang "$image" ;;
  envoyproxy/envoy:v*) envoy "$image" ;;
  envoyproxy/envoy:contrib-v*) contrib "$image" ;;
  redis:7*) redis "$image" ;;
  gcr.io/distroless/static-debian12:nonroot) static "$image" ;;
  *) die "no recipe for a stand-in of $image" ;;
  esac
done
