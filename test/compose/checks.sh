# What prove.sh checks once everything runs. Each function is a check: it prints
# why it fails. Sourced by prove.sh, which has compose, in_net and check.
# shellcheck shell=bash
: "${run:?directory for what is in between}" "${project:?name of the Compose project}"

# id SERVICE prints its container.
id() { compose ps --all --quiet "$1"; }

# inspect SERVICE FORMAT
inspect() { docker inspect --format "$2" "$(id "$1")"; }

# post BODY [SESSION] sends one message to the endpoint; the status goes into
# $run/status, the headers into $run/headers, the body to stdout.
post() {
  local session=()
  [[ $# -lt 2 ]] || session=(--header "Mcp-Session-Id: $2" --header "MCP-Protocol-Version: 2025-11-25")
  in_net curl --silent --show-error --noproxy '*' --max-time 20 --dump-header "$run/headers" \
    --write-out '%{stderr}%{http_code}' --header "Content-Type: application/json" \
    --header "Accept: application/json, text/event-stream" "${session[@]}" --data "$1" \
    "http://127.0.0.1:$MCP_GATEWAY_PORT/mcp" 2>"$run/status"
}

# request METHOD PARAMS prints a request.
request() { printf '{"jsonrpc":"2.0","id":1,"method":"%s","params":%s}' "$1" "$2"; }

# answers BODY SESSION STATUS PATTERN... expects the status, and each pattern in
# the answer.
answers() {
  local answer pattern want=$3
  answer=$(post "$1" "$2") || { cat "$run/status"; return 1; }
  if [[ $(cat "$run/status") != "$want" ]]; then
    printf 'status %s, want %s: %s\n' "$(cat "$run/status")" "$want" "$answer"
    return 1
  fi
  shift 3
  for pattern in "$@"; do
    [[ $answer == *"$pattern"* ]] || { printf 'no %s in %s\n' "$pattern" "${answer:0:2000}"; return 1; }
  done
}

# open_session leaves a session id in $run/session.
open_session() {
  answers "$(request initialize '{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"proof","version":"1"}}')" \
    "" 200 '"protocolVersion":"2025-11-25"' '"name":"mcp-gateway"' || return 1
  sed -n 's/^mcp-session-id: *\([A-Za-z0-9_-]*\).*/\1/Ip' "$run/headers" >"$run/session"
  [[ $(wc -c <"$run/session") -eq 44 ]] || { echo "no session id of 43 characters"; return 1; }
}

initialized() { answers '{"jsonrpc":"2.0","method":"notifications/initialized"}' "$(cat "$run/session")" 202; }
lists_tools() { answers "$(request tools/list '{}')" "$(cat "$run/session")" 200 '"name":"weather_get_weather"' '"name":"cal_'; }
calls_weather() {
  answers "$(request tools/call '{"name":"weather_get_weather","arguments":{"city":"Berlin"}}')" "$(cat "$run/session")" 200 '"content"' Berlin
}

# calls_cal is the first call of this session to its server: a backend session is
# opened for it.
calls_cal() {
  answers "$(request tools/call '{"name":"cal_list_events","arguments":{}}')" "$(cat "$run/session")" 200 '"content"' '"events"'
}

knows_no_other_session() { answers "$(request tools/list '{}')" "$(printf 'A%.0s' {1..43})" 404 '"error"'; }

lasting="envoy broker controlplane redis weather cal"

healthy() {
  local service
  for service in $lasting; do
    [[ $(inspect "$service" '{{.State.Health.Status}}') == healthy ]] || { echo "$service is not healthy"; return 1; }
  done
}

# no_root looks at the processes and not only at the settings.
no_root() {
  local service uids
  for service in $lasting; do
    uids=$(docker top "$(id "$service")" -eo uid,pid | awk 'NR > 1 { print $1 }' | sort -u)
    [[ -n $uids ]] || { echo "$service has no process"; return 1; }
    ! grep -qx 0 <<<"$uids" || { echo "$service has processes of root"; return 1; }
  done
}

hardened() {
  local service got want
  want='read-only: true, dropped: [ALL], added: [], privileged: false, security: [no-new-privileges:true]'
  for service in $lasting secret; do
    got=$(inspect "$service" 'read-only: {{.HostConfig.ReadonlyRootfs}}, dropped: {{.HostConfig.CapDrop}}, added: {{.HostConfig.CapAdd}}, privileged: {{.HostConfig.Privileged}}, security: {{.HostConfig.SecurityOpt}}')
    got=${got//<nil>/[]}
    [[ $got == "$want" ]] || { printf '%s: %s\n' "$service" "$got"; return 1; }
  done
}

# read_only tries it in the two images with a shell, as root: nobody else could
# write there anyway.
read_only() {
  local service place
  for service in envoy redis; do
    for place in / /usr/local/bin /etc; do
      ! docker exec --user 0 "$(id "$service")" sh -c "echo >$place/written" 2>/dev/null || { echo "$service can write in $place"; return 1; }
    done
  done
}

no_capabilities() {
  local service
  for service in envoy redis; do
    [[ $(docker exec "$(id "$service")" grep ^CapBnd /proc/1/status) =~ ^CapBnd:[[:space:]]0+$ ]] || { echo "$service can have capabilities"; return 1; }
  done
}

# one_port compares what is published with the one address that may be.
one_port() {
  local service published
  for service in $lasting; do
    # shellcheck disable=SC2016 # the variables are the template's
    published=$(inspect "$service" '{{range $port, $at := .NetworkSettings.Ports}}{{range $at}}{{.HostIp}}:{{.HostPort}} {{end}}{{end}}')
    if [[ $service == envoy* ]]; then
      [[ $published == "127.0.0.1:$MCP_GATEWAY_PORT " ]] || { echo "$service publishes $published"; return 1; }
    elif [[ -n $published ]]; then
      echo "$service publishes $published"
      return 1
    fi
  done
}

# probe SERVICE URL asks from inside a container.
probe() { docker exec "$(id "$1")" mcp-gateway healthcheck "$2" 2>&1; }

guarded() {
  local url answer
  probe envoy http://broker:8891/readyz || return 1
  for url in http://broker:8891/v1/table http://broker:8891/status http://controlplane:18001/v1/config; do
    ! answer=$(probe envoy "$url") || { echo "$url needs no secret"; return 1; }
    [[ $answer == *401* ]] || { echo "$url: $answer"; return 1; }
  done
}

separated() {
  local url
  for url in http://controlplane:18001/healthz http://redis:6379/; do
    ! probe weather "$url" >/dev/null || { echo "a server reaches $url"; return 1; }
  done
  ! docker exec "$(id envoy)" timeout 5 bash -c ': </dev/tcp/redis/6379' 2>/dev/null || { echo "Envoy reaches Redis"; return 1; }
  docker exec "$(id envoy)" timeout 5 bash -c ': </dev/tcp/broker/8890' || { echo "Envoy does not reach the broker: this check sees nothing"; return 1; }
}

# secret_hidden takes the secret from its file and looks where it must not be.
secret_hidden() {
  local secret service
  secret=$(docker exec "$(id envoy)" cat /run/mcp-gateway/secret)
  [[ $secret =~ ^[0-9a-f]{64}$ ]] || { echo "the secret is not 256 random bits in hexadecimal"; return 1; }
  [[ $(docker exec "$(id envoy)" stat -c '%a %u' /run/mcp-gateway/secret) == "600 65532" ]] || { echo "others may read the secret"; return 1; }
  compose logs >"$run/logs" 2>&1
  [[ -s $run/logs ]] || { echo "no logs: this check sees nothing"; return 1; }
  ! grep -q "$secret" "$run/logs" || { echo "the secret is in the logs"; return 1; }
  for service in $lasting secret; do
    ! docker inspect "$(id "$service")" | grep -q "$secret" || { echo "the secret is in the settings of $service"; return 1; }
  done
}

stock_envoy() {
  local want
  want=$(sed -n 's/^ARG ENVOY_IMAGE=.*:v//p' Dockerfile)
  [[ $(docker exec "$(id envoy)" envoy --version) == *"/$want/"* ]]
}

# waits_for SERVICE until it is healthy.
waits_for() {
  local i
  for ((i = 0; i < 240; i++)); do
    [[ $(inspect "$1" '{{.State.Health.Status}}') != healthy ]] || return 0
    sleep 0.25
  done
  echo "$1 is not healthy after a minute"
  compose logs --tail 20 "$1"
  return 1
}

restarts() {
  compose restart --timeout 10 "$1" >/dev/null 2>&1 || return 1
  waits_for "$1"
}

# survives_without SERVICE: warm calls go on while it is away.
survives_without() {
  calls_weather || return 1
  compose stop --timeout 10 "$1" >/dev/null 2>&1 || return 1
  calls_weather || return 1
  compose start "$1" >/dev/null 2>&1 || return 1
  waits_for "$1"
}

# reloads gives the calendar another prefix, as an editor would: by a new file
# under the old name.
reloads() {
  local i file=$MCP_GATEWAY_CONFIG/gateway.yaml
  sed 's/prefix: cal_/prefix: calendar_/' "$file" >"$file.new"
  chmod 0644 "$file.new"
  mv "$file.new" "$file"
  for ((i = 0; i < 80; i++)); do
    ! answers "$(request tools/list '{}')" "$(cat "$run/session")" 200 '"name":"weather_' '"name":"calendar_' >/dev/null || return 0
    sleep 0.25
  done
  answers "$(request tools/list '{}')" "$(cat "$run/session")" 200 '"name":"calendar_'
}

# ends_in_order: every process heeds SIGTERM; 137 would be SIGKILL.
ends_in_order() {
  local service code
  compose stop --timeout 10 >/dev/null 2>&1 || return 1
  for service in $lasting secret; do
    code=$(inspect "$service" '{{.State.ExitCode}}')
    [[ $code == 0 ]] || { echo "$service ended with status $code"; return 1; }
  done
}

leaves_nothing() {
  local left
  compose down --volumes --remove-orphans --timeout 10 >"$run/down.log" 2>&1 || { cat "$run/down.log"; return 1; }
  left=$(
    docker ps --all --quiet --filter "label=com.docker.compose.project=$project"
    docker volume ls --quiet --filter "label=com.docker.compose.project=$project"
    docker network ls --quiet --filter "label=com.docker.compose.project=$project"
  )
  [[ -z $left ]] || { echo "left: $left"; return 1; }
}

all_checks() {
  check "every service is healthy" healthy
  check "Envoy is the stock one" stock_envoy
  check "no process is root's" no_root
  check "every container is read-only, without capabilities and new privileges" hardened
  check "nothing can be written" read_only
  check "no capability can be had" no_capabilities
  check "one port is published, on 127.0.0.1" one_port
  check "the internal APIs need the secret" guarded
  check "servers reach neither control plane nor Redis, Envoy no Redis" separated
  check "the secret is random, private and nowhere else" secret_hidden
  check "initialize opens a session" open_session
  check "notifications/initialized is accepted" initialized
  check "tools/list has the tools of both servers" lists_tools
  check "weather_get_weather answers" calls_weather
  check "an unknown session gets 404" knows_no_other_session
  check "calls go on without the control plane" survives_without controlplane
  check "calls go on without the broker" survives_without broker
  check "the broker restarts" restarts broker
  check "the session lists tools after that" lists_tools
  check "the session calls a server that it knew after that" calls_weather
  check "the session calls a server that it did not know" calls_cal
  check "a changed configuration is in force without a restart" reloads
}

# golang_up starts the profile's services beside the others.
golang_up() {
  bounded 200 docker compose --project-name "$project" --env-file /dev/null --profile golang up --detach --wait --wait-timeout 180 \
    >"$run/golang.log" 2>&1 && return
  tail -n 5 "$run/golang.log"
  # shellcheck disable=SC2086 # one name a word
  compose logs --tail 10 $golang_services
  return 1
}

golang_lists_tools() { answers "$(request tools/list '{}')" "$(cat "$run/session")" 200 '"name":"weather_get_weather"' '"name":"calendar_'; }

# golang_checks come after all_checks, whose last one changes a prefix.
golang_checks() {
  local golang_services="envoy-golang controlplane-golang"
  check "the profile golang comes up beside it" golang_up
  local lasting=$golang_services MCP_GATEWAY_PORT=$MCP_GATEWAY_GOLANG_PORT
  check "golang: its services are healthy" healthy
  check "golang: no process is root's" no_root
  check "golang: its containers are read-only, without capabilities and new privileges" hardened
  check "golang: one port is published, on 127.0.0.1" one_port
  check "golang: the filter refuses what is no JSON" answers '{' "" 400 '"code":-32700'
  check "golang: initialize opens a session" open_session
  check "golang: notifications/initialized is accepted" initialized
  check "golang: tools/list has the tools of both servers" golang_lists_tools
  check "golang: weather_get_weather answers" calls_weather
}
