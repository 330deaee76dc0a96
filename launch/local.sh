#!/usr/bin/env bash
# Several processes of one flanlite command on this machine; when one of them fails or is interrupted, all start again from the last checkpoint.
#
#   launch/local.sh [--dry_run] PROCESSES flanlite train --gin_file=gin/runs/pocket_train.gin
#
# Environment: FLANLITE_COORDINATOR (localhost:12355), RESTARTS (10).
set -euo pipefail

dry_run=false
if [[ ${1:-} == --dry_run ]]; then dry_run=true; shift; fi
if (($# < 2)) || ! [[ $1 =~ ^[1-9][0-9]*$ ]]; then sed -n '2,6s/^# \{0,1\}//p' "$0" >&2; exit 2; fi
processes=$1
shift
export FLANLITE_COORDINATOR=${FLANLITE_COORDINATOR:-localhost:12355} FLANLITE_NUM_PROCESSES=$processes

if $dry_run; then
  for ((id = 0; id < processes; id++)); do
    echo "FLANLITE_COORDINATOR=$FLANLITE_COORDINATOR FLANLITE_NUM_PROCESSES=$processes FLANLITE_PROCESS_ID=$id $*"
  done
  exit
fi

pids=()
stop() { kill "${pids[@]}" 2>/dev/null || true; wait || true; }
trap 'stop; exit 143' TERM INT
for ((attempt = 0; attempt <= ${RESTARTS:-10}; attempt++)); do
  pids=()
  for ((id = 0; id < processes; id++)); do
    FLANLITE_PROCESS_ID=$id "$@" &
    pids+=($!)
  done
  failed=0
  for ((left = processes; left > 0; left--)); do
    wait -n "${pids[@]}" || { failed=$?; break; }
  done
  ((failed == 0)) && exit 0
  stop
  # Bad input does not get better, nor does a command that is not there (127) or cannot be run (126).
  ((failed == 2 || failed == 126 || failed == 127)) && exit "$failed"
  echo "launch/local.sh: a process left with status $failed; starting again" >&2
done
exit "$failed"
