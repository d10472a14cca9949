#!/usr/bin/env bash
# Installs Istio and the Gateway edge: what comes before the gateway's chart where
# scripts/local-env.sh is run with GATEWAY=istio.
#
#   deploy/kind/istio/install.sh CONTEXT HELM TIMEOUT
#
#   ISTIO_CHARTS=FOLDER   Istio's charts base and istiod that are here already
set -euo pipefail

readonly VERSION=1.31.1 # proxies have dynamic modules from 1.31 on
readonly REPOSITORY=https://istio-release.storage.googleapis.com/charts

context=${1:?usage: install.sh CONTEXT HELM TIMEOUT}
helm=${2:?no path of Helm}
wait=${3:?no timeout}
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

die() {
  printf 'error: %s\n' "$1" >&2
  shift
  for hint in "$@"; do printf '       %s\n' "$hint" >&2; done
  exit 1
}

# chart RELEASE CHART SETTING... installs a chart of Istio's, or renews it.
chart() {
  local release=$1 chart=$2 source
  shift 2
  if [[ -n ${ISTIO_CHARTS:-} ]]; then
    source=("$ISTIO_CHARTS/$chart")
  else
    source=("$chart" --repo "$REPOSITORY" --version "$VERSION")
  fi
  "$helm" --kube-context "$context" upgrade --install "$release" "${source[@]}" "$@" \
    --namespace istio-system --create-namespace --wait --timeout "$wait" >/dev/null
}

printf '==> installing Istio %s\n' "$VERSION"
chart istio-base base ||
  die "Istio's definitions were not installed" "where $REPOSITORY cannot be reached," \
    "fetch the charts base and istiod elsewhere (helm pull --untar) and set ISTIO_CHARTS to their folder"
# It asks for the CPU and memory of a large cluster, unless told.
chart istiod istiod --set resources.requests.cpu=50m,resources.requests.memory=256Mi,autoscaleEnabled=false ||
  die "istiod is not ready" "its image may not be to be had, or the node be full:" \
    "kubectl --context $context -n istio-system describe pods -l app=istiod"
kubectl --context "$context" apply --server-side -f "$here/gateway.yaml" >/dev/null ||
  die "the Gateway was not declared" "kubectl --context $context get crd gateways.gateway.networking.k8s.io"
