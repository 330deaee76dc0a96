#!/usr/bin/env bash
# Several processes of one flanlite command on this machine; when one of them fails or is interrupted, all start again from the last checkpoint.
#
#   launch/local.sh [--dry_run] PROCESSES flanlite train --gin_file=gin/runs/pocket_train.gin
#
# Environment: FLANLITE_COORDINATOR (localhost:12355), RESTARTS (10), STOPS_WITHIN (120): seconds until what ignores TERM is killed.
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

pids=() statuses=()
# Note the statuses of the processes that have ended; how many have not is in `left`, the first that failed in `failed`.
look() {
  left=0
  for ((id = 0; id < ${#pids[@]}; id++)); do
    [[ -z ${statuses[id]:-} ]] || continue
    if kill -0 "${pids[id]}" 2>/dev/null; then left=$((left + 1)); continue; fi
    statuses[id]=0
    wait "${pids[id]}" || statuses[id]=$?
    if ((failed == 0)); then failed=${statuses[id]}; fi
  done
}
# Wait for the end of all, at most so many seconds.
within() { for ((tenths = $1 * 10; tenths > 0; tenths--)); do look; ((left > 0)) || return 0; sleep 0.1; done; }
signal() { for ((id = 0; id < ${#pids[@]}; id++)); do [[ -n ${statuses[id]:-} ]] || kill "-$1" "${pids[id]}" 2>/dev/null || true; done; }
# TERM saves a checkpoint; what ignores it is not waited for.
stop() { signal TERM; within "${STOPS_WITHIN:-120}"; signal KILL; within 10; }
trap 'stop; exit 143' TERM INT
for ((attempt = 0; attempt <= ${RESTARTS:-10}; attempt++)); do
  pids=() statuses=() failed=0
  for ((id = 0; id < processes; id++)); do
    FLANLITE_PROCESS_ID=$id "$@" &
    pids+=($!)
  done
  look
  until ((left == 0 || failed != 0)); do sleep 0.5; look; done
  ((failed == 0)) && exit 0
  within 10 # the others end by themselves, and whose input is bad says so last
  stop
  # Bad input does not get better, nor does a command that is not there (127) or cannot be run (126).
  for status in "${statuses[@]}"; do
    ((status == 2 || status == 126 || status == 127)) && exit "$status"
  done
  echo "launch/local.sh: a process left with status $failed; starting again" >&2
done
exit "$failed"
