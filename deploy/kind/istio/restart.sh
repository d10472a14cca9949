#!/usr/bin/env bash
# Has the Gateway's proxies start anew with the library as it is now, and waits until the
# filter was brought to them: what comes after the gateway's chart.
#
#   deploy/kind/istio/restart.sh CONTEXT HELM TIMEOUT
set -euo pipefail

context=${1:?usage: restart.sh CONTEXT HELM TIMEOUT}
wait=${3:?no timeout}

die() {
  printf 'error: %s\n' "$1" >&2
  shift
  for hint in "$@"; do printf '       %s\n' "$hint" >&2; done
  exit 1
}

k() { kubectl --context "$context" --namespace mcp "$@"; }

printf '==> waiting until Istio runs proxies with the filter\n'
k wait --for=create deployment/edge-istio --timeout "$wait" >/dev/null ||
  die "Istio runs no proxies for the Gateway" "its conditions or Istio's log say why:" \
    "kubectl --context $context -n mcp describe gateway edge" "kubectl --context $context -n istio-system logs deployment/istiod"
k rollout restart deployment/edge-istio >/dev/null
k rollout status deployment/edge-istio --timeout "$wait" >/dev/null ||
  die "the Gateway's proxies are not ready" "the image of Istio's proxy may not be to be had:" \
    "kubectl --context $context -n mcp describe pods -l gateway.networking.k8s.io/gateway-name=edge"
k wait mcpgateway/mcp --for=condition=Programmed --timeout "$wait" >/dev/null ||
  die "the filter was not brought to the Gateway" "the condition Programmed says why:" \
    "kubectl --context $context -n mcp describe mcpgateway mcp"
