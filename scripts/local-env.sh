#!/usr/bin/env bash
# A cluster on this machine with the gateway, Redis and two demo servers, by Kind.
# Every step looks at what is there, so that a second run repairs or renews.
#
#   scripts/local-env.sh setup      make it, and call a tool through it
#   scripts/local-env.sh teardown   remove it
#
#   GATEWAY=own    whose Envoys clients come in by: own, the gateway's; istio, those of a
#                  Gateway of Istio's. Each is a folder of deploy/kind with values for the
#                  chart, install.sh for what comes before it, restart.sh for what comes after
#   CLUSTER=mcp-gateway, WAIT=180s   its name; how long each step may take
#   GATEWAY_API=FILE                 definitions of the Gateway API that are here already
set -euo pipefail

readonly GATEWAY_API_VERSION=v1.6.3 # as in go.mod
readonly REDIS_IMAGE=redis:7
readonly URL=http://mcp.127-0-0-1.sslip.io:8888/mcp

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"
gateway=${GATEWAY:-own}
cluster=${CLUSTER:-mcp-gateway}
wait=${WAIT:-180s}
definitions=${GATEWAY_API:-https://github.com/kubernetes-sigs/gateway-api/releases/download/$GATEWAY_API_VERSION/standard-install.yaml}

die() {
  printf 'error: %s\n' "$1" >&2
  shift
  for hint in "$@"; do printf '       %s\n' "$hint" >&2; done
  exit 1
}

step() { printf '==> %s\n' "$*"; }

# kubectl and helm of this cluster, whatever the user's own context is.
k() { kubectl --context "kind-$cluster" "$@"; }
h() { "$helm" --kube-context "kind-$cluster" "$@"; }

# way NAME: what this way in has to do besides the chart, if anything.
way() {
  local program=deploy/kind/$gateway/$1.sh
  if [[ -x $program ]]; then "$program" "kind-$cluster" "$helm" "$wait"; fi
}

exists() { kind get clusters 2>/dev/null | grep -qx "$cluster"; }

need_programs() {
  command -v kind >/dev/null || die "kind is missing" "go install sigs.k8s.io/kind@v0.31.0, or https://kind.sigs.k8s.io"
  command -v docker >/dev/null || die "docker is missing" "https://docs.docker.com/engine/install"
  docker info >/dev/null 2>&1 || die "no Docker daemon answers" "start it, or let this user reach it (docker info says why)"
}

need_setup() {
  need_programs
  command -v kubectl >/dev/null || die "kubectl is missing" "https://kubernetes.io/docs/tasks/tools"
  command -v curl >/dev/null || die "curl is missing" "install it with the system's packages"
  [[ -f deploy/kind/$gateway/values.yaml ]] ||
    die "GATEWAY=$gateway is not known" "known: $(cd deploy/kind && printf '%s ' */ | tr -d /)"
  helm=$(type -P helm || scripts/tools.sh helm)
}

make_cluster() {
  if exists; then
    step "the cluster $cluster is there"
    local was
    was=$(k get namespace mcp --ignore-not-found --output 'jsonpath={.metadata.labels.way-in}') ||
      die "the cluster $cluster does not answer" "docker ps says whether its node runs; or begin anew: $0 teardown"
    [[ ${was:-$gateway} == "$gateway" ]] || die "the cluster $cluster was made with GATEWAY=$was" "remove it first: $0 teardown"
    return
  fi
  step "making the cluster $cluster"
  kind create cluster --name "$cluster" --config deploy/kind/cluster.yaml --wait "$wait" ||
    die "the cluster was not made" "port 8888 of this machine may be in use (ss -ltnp 'sport = :8888')" \
      "or the image kindest/node cannot be pulled: docker pull $(awk '$1 == "image:" { print $2 }' deploy/kind/cluster.yaml)"
}

# load_images builds the images of this tree and hands them to the cluster's node: none
# of them is pulled there.
load_images() {
  local target images=()
  for target in gateway envoy demo; do
    step "building the image mcp-gateway/$target:local"
    docker build --quiet --target "$target" --tag "mcp-gateway/$target:local" . >/dev/null ||
      die "the image $target was not built" "run it again to see why: docker build --target $target ."
    images+=("mcp-gateway/$target:local")
  done
  docker image inspect "$REDIS_IMAGE" >/dev/null 2>&1 || docker pull --quiet "$REDIS_IMAGE" >/dev/null ||
    die "$REDIS_IMAGE cannot be pulled" "check the network: docker pull $REDIS_IMAGE"
  step "loading the images into the cluster"
  kind load docker-image --name "$cluster" "${images[@]}" "$REDIS_IMAGE" ||
    die "the images were not loaded" "the disk may be full (docker system df)"
}

install_definitions() {
  step "installing the definitions of the Gateway API $GATEWAY_API_VERSION and of the gateway"
  k apply --server-side --force-conflicts -f "$definitions" >/dev/null ||
    die "the Gateway API was not installed" "where $definitions cannot be reached, fetch it elsewhere and set GATEWAY_API to the file"
  h upgrade --install mcp-gateway-crds deploy/helm/mcp-gateway-crds --wait --timeout "$wait" >/dev/null ||
    die "the gateway's definitions were not installed" "an older installation may be in the way: $0 teardown"
}

install_gateway() {
  step "installing Redis"
  k apply --server-side -f deploy/kind/redis.yaml >/dev/null
  k --namespace mcp rollout status deployment/redis --timeout "$wait" >/dev/null ||
    die "Redis is not ready" "kubectl --context kind-$cluster -n mcp describe pods -l app=redis"
  k label namespace mcp "way-in=$gateway" --overwrite >/dev/null
  way install
  step "installing the gateway"
  h upgrade --install mcp deploy/helm/mcp-gateway --namespace mcp --values "deploy/kind/$gateway/values.yaml" \
    --wait --timeout "$wait" >/dev/null || {
    k --namespace mcp get pods,mcpgateways >&2 || true
    die "the gateway is not ready" "the first pod above that is not says why:" \
      "kubectl --context kind-$cluster -n mcp describe pod NAME, and logs NAME"
  }
  # Images of the same name may have other content than those that run.
  k --namespace mcp rollout restart deployment --selector app.kubernetes.io/instance=mcp >/dev/null
  k --namespace mcp rollout status deployment --selector app.kubernetes.io/instance=mcp --timeout "$wait" >/dev/null ||
    die "the gateway did not restart with the new images" "kubectl --context kind-$cluster -n mcp get pods"
  way restart
}

install_servers() {
  step "starting two servers, one of them declared in another namespace than its own"
  k apply --server-side -f deploy/kind/weather.yaml -f deploy/kind/calendar.yaml >/dev/null
  k --namespace weather rollout restart deployment/weather >/dev/null
  k --namespace calendar rollout restart deployment/cal >/dev/null
  step "waiting until the gateway offers them"
  k wait mcpservers --all --all-namespaces --for=condition=Ready --timeout "$wait" >/dev/null || {
    k get mcpservers --all-namespaces --output wide >&2 || true
    die "a server is not ready" "its conditions say why: kubectl --context kind-$cluster -n NAMESPACE describe mcpserver NAME"
  }
}

# envoys selects the pods that clients come in by.
envoys() {
  case $gateway in
  own) echo app.kubernetes.io/component=envoy ;;
  *) echo gateway.networking.k8s.io/gateway-name=edge ;;
  esac
}

summary() {
  cat <<TEXT

The gateway serves $URL

  kubectl --context kind-$cluster get mcpgateways,mcpservers --all-namespaces
  make inspect-gateway           tools in the MCP Inspector
  make local-env-teardown        ends all of it

$(k get mcpservers --all-namespaces)

TEXT
}

setup() {
  need_setup
  make_cluster
  load_images
  install_definitions
  install_gateway
  install_servers
  step "calling a tool of each server through port 8888"
  scripts/smoke.sh "$URL" 127.0.0.1 ||
    die "the gateway does not answer as it should" "kubectl --context kind-$cluster -n mcp logs -l $(envoys)"
  summary
}

teardown() {
  need_programs
  if ! exists; then
    step "there is no cluster $cluster"
    return
  fi
  step "removing the cluster $cluster"
  kind delete cluster --name "$cluster" || die "the cluster was not removed" "docker ps --filter label=io.x-k8s.kind.cluster=$cluster"
}

case ${1:-} in
setup) setup ;;
teardown) teardown ;;
*)
  sed -n '2,/^set/{/^#/s/^# \{0,1\}//p}' "${BASH_SOURCE[0]}" >&2
  exit 2
  ;;
esac
