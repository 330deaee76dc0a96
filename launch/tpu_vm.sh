#!/usr/bin/env bash
# One flanlite command on all workers of a TPU slice: asks for it as a queued resource, installs, runs; and begins again where it was preempted.
#
#   NAME=flan ZONE=us-east5-b TYPE=v5litepod-256 launch/tpu_vm.sh [--dry_run] flanlite train --gin_file=gin/runs/finetune.gin ...
#
# Environment: NAME, ZONE, TYPE; VERSION (the TPU's software, v2-alpha-tpuv5-lite), SPOT (true), RESTARTS (100), LOOKS_EVERY (30 seconds), INSTALL (the command by which
# flanlite comes onto a worker; by default a wheel of this checkout is copied there). MODEL_DIR and the caches must lie where all workers see them: a mounted bucket, for example.
set -euo pipefail

dry_run=false
if [[ ${1:-} == --dry_run ]]; then dry_run=true; shift; fi
if (($# < 1)); then sed -n '2,7s/^# \{0,1\}//p' "$0" >&2; exit 2; fi
: "${NAME:?name the slice}" "${ZONE:?name the zone}" "${TYPE:?name the accelerator type, such as v5litepod-256}"
spot=()
if [[ ${SPOT:-true} == true ]]; then spot=(--spot); fi
printf -v command '%q ' "$@"

run() { if $dry_run; then printf '%q ' "$@"; echo; else "$@"; fi; }
tpu() { run gcloud compute tpus "$@" --zone="$ZONE"; }
state() { gcloud compute tpus queued-resources describe "$NAME" --zone="$ZONE" --format='value(state.state)' 2>/dev/null || echo MISSING; }

# Wait until the slice is there or will not be. Where `describe` finds nothing several times, gcloud says why.
await() {
  local missing=0 found
  while true; do
    found=$(state)
    if [[ $found =~ ^(ACTIVE|FAILED|SUSPENDED)$ ]]; then return; fi
    if [[ $found == MISSING ]]; then missing=$((missing + 1)); else missing=0; fi
    if ((missing >= $1)); then
      gcloud compute tpus queued-resources describe "$NAME" --zone="$ZONE" >&2 || true
      echo "launch/tpu_vm.sh: there is no queued resource $NAME in $ZONE; see what gcloud says above" >&2
      exit 1
    fi
    sleep "${LOOKS_EVERY:-30}"
  done
}

wheel=''
if [[ -z ${INSTALL:-} ]]; then
  wheel=$(mktemp -d)
  trap 'rm -rf "$wheel"' EXIT
  run python3 -m pip wheel -q --no-deps --wheel-dir="$wheel" "$(cd "$(dirname "$0")/.." && pwd)"
  INSTALL="pip install -q \"\$(ls $(basename "$wheel")/*.whl)[tpu]\""
fi
bring() { if [[ -n $wheel ]]; then tpu tpu-vm scp --recurse "$wheel" "$NAME:" --worker=all; fi; }
on_all() { tpu tpu-vm ssh "$NAME" --worker=all --command="$1"; }

for ((attempt = 0; attempt <= ${RESTARTS:-100}; attempt++)); do
  looks=5
  tpu queued-resources create "$NAME" --node-id="$NAME" --accelerator-type="$TYPE" \
    --runtime-version="${VERSION:-v2-alpha-tpuv5-lite}" "${spot[@]}" || looks=1 # it may be there already
  if ! $dry_run; then await "$looks"; fi
  if bring && on_all "$INSTALL" && on_all "$command"; then exit 0; fi
  if [[ $(state) == ACTIVE ]]; then echo "launch/tpu_vm.sh: the command failed on a slice that is well; see above" >&2; exit 1; fi
  echo "launch/tpu_vm.sh: the slice was preempted; asking for another" >&2
  tpu queued-resources delete "$NAME" --force --quiet || true
done
