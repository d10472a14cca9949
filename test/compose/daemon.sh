#!/usr/bin/env bash
# A Docker daemon of its own, for machines where none runs: Debian's packages,
# unpacked under .tools/docker and never installed, in new network, mount and
# PID namespaces. So its bridges, its firewall rules and port 8888 meet nothing
# of the machine, and the end of one process ends it with every container.
#
#   test/compose/daemon.sh install        fetch daemon, CLI and Compose
#   test/compose/daemon.sh serve RUNDIR   run the daemon until SIGTERM
#
# serve writes RUNDIR/env, to be sourced by who wants to talk to the daemon.
# Exit status 77 says that a daemon cannot run here, with the reason on stderr.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
readonly root
readonly home=$root/.tools/docker
readonly packages=(docker.io containerd runc tini iptables libip4tc2 libip6tc2 libnfnetlink0
  libnetfilter-conntrack3 libnftnl11 libxtables12 libmnl0 libdevmapper1.02.1 libseccomp2 debootstrap)
readonly compose_module=github.com/docker/compose/v2

say() { printf '    %s\n' "$*" >&2; }

cannot() {
  printf 'no Docker daemon: %s\n' "$*" >&2
  exit 77
}

# possible ends with status 77 where a daemon cannot be.
possible() {
  [[ $(uname -s) == Linux ]] || cannot "none runs, and this is no Linux"
  [[ $EUID -eq 0 ]] || cannot "none runs, and only root can start one"
  unshare --net --mount --pid --fork true 2>/dev/null || cannot "none runs, and this machine allows no new namespaces"
}

# install_daemon unpacks the packages and leaves a mark when all is there.
install_daemon() {
  [[ -f $home/installed ]] && return
  if ! command -v apt-get >/dev/null || ! command -v dpkg-deb >/dev/null; then
    cannot "none runs, and there is no apt-get to fetch one"
  fi
  say "fetching Debian's docker.io"
  rm -rf "$home/deb" "$home/root"
  mkdir -p "$home/deb" "$home/root"
  if [[ -z $(apt-cache show docker.io 2>/dev/null) ]]; then apt-get update -qq >&2 || true; fi
  local package
  for package in "${packages[@]}"; do
    # apt drops to a user that may not write here; it says so, and goes on.
    (cd "$home/deb" && timeout 300 apt-get download -qq "$package" >/dev/null 2>&1) || cannot "the package $package cannot be fetched"
  done
  for package in "$home"/deb/*.deb; do dpkg-deb -x "$package" "$home/root"; done
  mkdir -p "$home/bin"
  for package in iptables ip6tables iptables-save iptables-restore ip6tables-save ip6tables-restore; do
    ln -sf "$home/root/usr/sbin/xtables-nft-multi" "$home/bin/$package"
  done
  rm -rf "$home/deb"
  touch "$home/installed"
}

# install_compose builds Docker Compose v2, which Debian 12 lacks, from its
# module; versions and checksums are in dockercompose/go.sum.
install_compose() {
  local version target=$home/cli-plugins/docker-compose
  version=$(cd "$root/test/compose/dockercompose" && go list -m -f '{{.Version}}' "$compose_module")
  [[ -x $target && $("$target" version --short 2>/dev/null) == "${version#v}" ]] && return
  say "building Docker Compose $version (some minutes)"
  mkdir -p "$home/cli-plugins"
  (cd "$root/test/compose/dockercompose" && CGO_ENABLED=0 nice -n 10 go build -trimpath -o "$target.new" \
    -ldflags "-s -w -X $compose_module/internal.Version=$version" "$compose_module/cmd") ||
    cannot "Docker Compose $version cannot be built"
  mv "$target.new" "$target"
}

environment() {
  local lib
  lib=$(echo "$home"/root/usr/lib/*-linux-gnu*)
  export PATH=$home/bin:$home/root/usr/sbin:$home/root/usr/bin:$PATH
  export LD_LIBRARY_PATH=$lib XTABLES_LIBDIR=$lib/xtables
}

serve() {
  local run=$1
  exec {lock}>"$home/serve.lock"
  flock --nonblock "$lock" || cannot "another run uses $home"
  environment
  mkdir -p "$run/config/cli-plugins" "$home/data"
  ln -sf "$home/cli-plugins/docker-compose" "$run/config/cli-plugins/docker-compose"
  # The data directory survives, so that a second run finds its layers; the
  # sockets must stay short, so they are in RUNDIR.
  setpriv --pdeathsig KILL unshare --net --mount --pid --fork --kill-child --mount-proc --propagation private \
    bash -c 'ip link set lo up && exec "$@"' namespaces \
    dockerd --data-root "$home/data" --exec-root "$run/exec" --pidfile "$run/pid" \
    --host "unix://$run/docker.sock" --cgroup-parent "/mcp-gateway-$$" >"$run/dockerd.log" 2>&1 &
  local outer=$!
  trap 'stop_daemon "$outer"' EXIT
  trap 'exit 0' TERM INT
  local i
  for ((i = 0; ; i++)); do
    DOCKER_HOST=unix://$run/docker.sock docker version >/dev/null 2>&1 && break
    kill -0 "$outer" 2>/dev/null || cannot "dockerd ended: $(tail -n 1 "$run/dockerd.log")"
    ((i < 240)) || cannot "dockerd did not answer for a minute: $(tail -n 1 "$run/dockerd.log")"
    sleep 0.25
  done
  cat >"$run/env.new" <<ENV
export DOCKER_HOST=unix://$run/docker.sock DOCKER_CONFIG=$run/config
export PATH=\$PATH:$home/root/usr/bin
# in_net COMMAND... runs COMMAND where the daemon publishes its ports.
in_net() { nsenter --target $outer --net -- "\$@"; }
ENV
  mv "$run/env.new" "$run/env"
  wait "$outer" || cannot "dockerd ended: $(tail -n 1 "$run/dockerd.log")"
}

# stop_daemon ends the daemon in order, then whatever is left in its namespaces.
stop_daemon() {
  local outer=$1 inner i
  inner=$(cat "/proc/$outer/task/$outer/children" 2>/dev/null || true)
  # shellcheck disable=SC2086 # one number or nothing
  [[ -z $inner ]] || kill -TERM $inner 2>/dev/null || true
  for ((i = 0; i < 60; i++)); do
    kill -0 "$outer" 2>/dev/null || break
    sleep 0.25
  done
  kill -KILL "$outer" 2>/dev/null || true
  wait "$outer" 2>/dev/null || true
  find /sys/fs/cgroup -depth -type d -path "*/mcp-gateway-$$*" -exec rmdir {} + 2>/dev/null || true
}

case ${1:-} in
install)
  possible
  mkdir -p "$home"
  exec {lock}>"$home/lock"
  flock --timeout 1800 "$lock" || cannot "another run has installed one for half an hour"
  install_daemon
  install_compose
  ;;
serve)
  possible
  serve "${2:?directory of sockets and logs}"
  ;;
*)
  sed -n '2,12s/^# \{0,1\}//p' "$0" >&2
  exit 2
  ;;
esac
