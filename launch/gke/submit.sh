#!/usr/bin/env bash
# One flanlite command on a TPU slice of a GKE cluster, as a JobSet that starts again after a preemption.
#
#   IMAGE=... CLAIM=... ACCELERATOR=tpu-v5-lite-podslice TOPOLOGY=4x4 HOSTS=4 launch/gke/submit.sh [--dry_run] flanlite train --gin_file=...
#
# Environment: IMAGE with flanlite[tpu], CLAIM of a volume for /data (MODEL_DIR and the caches), ACCELERATOR, TOPOLOGY, HOSTS; NAME (flanlite),
# CHIPS of a host (4), RESTARTS (100).
set -euo pipefail

dry_run=false
if [[ ${1:-} == --dry_run ]]; then dry_run=true; shift; fi
if (($# < 1)); then sed -n '2,7s/^# \{0,1\}//p' "$0" >&2; exit 2; fi
: "${IMAGE:?name the container image that has flanlite}" "${CLAIM:?name the claim of the volume for /data}"
: "${ACCELERATOR:?name the accelerator, such as tpu-v5-lite-podslice}" "${TOPOLOGY:?name the topology, such as 4x4}"
: "${HOSTS:?say how many hosts the slice has}"
printf -v COMMAND '%q ' "$@"
NAME=${NAME:-flanlite} CHIPS=${CHIPS:-4} RESTARTS=${RESTARTS:-100} COMMAND=${COMMAND//\\/\\\\}
COMMAND=${COMMAND//\"/\\\"}

manifest=$(<"$(dirname "$0")/jobset.yaml")
for name in NAME RESTARTS HOSTS ACCELERATOR TOPOLOGY IMAGE COMMAND CHIPS CLAIM; do
  manifest=${manifest//"\${$name}"/"${!name}"}
done
if $dry_run; then echo "$manifest"; else kubectl apply -f - <<<"$manifest"; fi
