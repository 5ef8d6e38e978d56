#!/usr/bin/env bash
# A role and variables -> one process of the cluster: entrypoint.sh server | worker | ray-head | ray-worker.
#
# The worker keeps a git clone in ABCD_WORKSPACE, registers the clone's deployments, and is itself a node of the Ray
# cluster without cores: a training starts from a process beside a Ray node, its workers run on the other nodes.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
git_credentials=/run/secrets/git/credentials
api_seconds=300
# The least that Ray takes; nothing large goes through its object store.
object_store_bytes=78643200

say() { printf 'entrypoint: %s\n' "$*" >&2; }

fail() {
  say "$*"
  exit 1
}

need() {
  local name
  for name in "$@"; do
    [[ -n ${!name:-} ]] || fail "$name was expected and is not set; set it for this container"
  done
}

server() {
  case ${PREFECT_SERVER_API_HOST:=127.0.0.1} in
    127.* | localhost | ::1) ;;
    *)
      [[ -n ${PREFECT_SERVER_API_AUTH_STRING:-} ]] ||
        fail "the server was to listen on $PREFECT_SERVER_API_HOST, where others reach it, without a password;" \
          "set PREFECT_SERVER_API_AUTH_STRING=user:password"
      ;;
  esac
  # As `abcd up` has it (flows/server.py): places of runs survive a new start, and the second UI is not offered.
  export PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE=prefect.server.concurrency.lease_storage.filesystem
  export PREFECT_SERVER_UI_STATIC_DIRECTORY=${PREFECT_HOME:=$HOME/.prefect}/ui
  export PREFECT_HOME
  mkdir -p "$PREFECT_SERVER_UI_STATIC_DIRECTORY"
  ln -sfn not-served "$PREFECT_SERVER_UI_STATIC_DIRECTORY/v2"
  exec prefect server start
}

# The clone is there whole or not at all; an existing one moves forward when nothing was changed in it.
workspace() {
  [[ -r $git_credentials ]] && git config --global credential.helper "store --file=$git_credentials"
  if [[ ! -e $ABCD_WORKSPACE/.git ]]; then
    need WORKSPACE_GIT_URL
    say "clones into $ABCD_WORKSPACE"
    rm -rf "$ABCD_WORKSPACE.new"
    # The address may hold a password: it is not said.
    git clone --quiet "$WORKSPACE_GIT_URL" "$ABCD_WORKSPACE.new" ||
      fail "the clone failed; look whether WORKSPACE_GIT_URL and its credentials are right"
    mv "$ABCD_WORKSPACE.new" "$ABCD_WORKSPACE"
  elif ! { git -C "$ABCD_WORKSPACE" fetch --quiet && git -C "$ABCD_WORKSPACE" merge --quiet --ff-only; }; then
    say "the clone could not be moved to its upstream's commit: it stays at $(git -C "$ABCD_WORKSPACE" rev-parse HEAD)"
  fi
  cmp --silent "$here/requirements.lock" "$ABCD_WORKSPACE/requirements.lock" ||
    fail "the image was built from another requirements.lock than that of commit" \
      "$(git -C "$ABCD_WORKSPACE" rev-parse HEAD); build and roll out the image of that commit"
}

await_server() {
  local end=$((SECONDS + api_seconds))
  until python -c "import sys, urllib.request as r; r.urlopen(sys.argv[1], timeout=2)" \
    "$PREFECT_API_URL/health" 2>/dev/null; do
    ((SECONDS < end)) || fail "no Prefect server answered at $PREFECT_API_URL within $api_seconds s"
    sleep 1
  done
}

ray_node() {
  ray start --address="$ABCD_RAY_ADDRESS" --num-cpus=0 --num-gpus=0 --object-store-memory="$object_store_bytes" --block &
  node=$!
}

# A Ray head that starts anew loses its nodes: this one joins again, and what else the worker runs goes on.
worker() {
  need ABCD_WORKSPACE PREFECT_API_URL
  local pool='' node='' stopping=''
  workspace
  cd "$ABCD_WORKSPACE"
  await_server
  prefect --no-prompt work-pool create abcd --type process --overwrite
  prefect --no-prompt deploy --all
  # Without job control the shell starts what runs beside it deaf to SIGINT, by which Prefect's worker stops itself.
  set -m
  trap 'stopping=yes; kill -TERM "$pool" 2>/dev/null || true' TERM INT
  prefect worker start --pool abcd --type process --with-healthcheck &
  pool=$!
  while [[ -z $stopping ]] && kill -0 "$pool" 2>/dev/null; do
    if [[ -n ${ABCD_RAY_ADDRESS:-} ]] && ! { [[ -n $node ]] && kill -0 "$node" 2>/dev/null; }; then
      [[ -z $node ]] || { say "the Ray node ended; it joins $ABCD_RAY_ADDRESS again"; sleep 5; }
      ray_node
    fi
    wait -n || true
  done
  local code=0
  wait "$pool" || code=$?
  if [[ -n $node ]]; then
    kill -TERM "$node" 2>/dev/null || true
    wait "$node" || true
  fi
  exit "$code"
}

case ${1:-} in
  server) server ;;
  worker) worker ;;
  ray-head)
    need RAY_AUTH_TOKEN
    # A head without cores: a training that takes all memory must not take the head with it.
    exec ray start --head --port=6379 --num-cpus=0 --object-store-memory="$object_store_bytes" \
      --include-dashboard=false --block
    ;;
  ray-worker)
    need RAY_AUTH_TOKEN ABCD_RAY_ADDRESS
    exec ray start --address="$ABCD_RAY_ADDRESS" --object-store-memory="$object_store_bytes" --block
    ;;
  *) fail "found the role '${1:-}'; expected server, worker, ray-head or ray-worker" ;;
esac
