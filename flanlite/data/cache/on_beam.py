"""Builds cached splits on Apache Beam, a split an element, with whatever runner its own flags name."""

import dataclasses
import sys
import types
from collections.abc import Callable, Sequence

import cloudpickle

from flanlite.data.cache import build, faults, remote
from flanlite.data.cache.request import Request, open_cached
from flanlite.data.cache.view import BuildOptions
from flanlite.data.specs import fingerprints
from flanlite.progress import BuildProgress

NOTHING = (
    'the Beam job left neither a split nor a reason; its workers need the cache folder too: use one that '
    'they share, or a URL such as gs://'
)


def build_all(
    requests: Sequence[Request],
    options: BuildOptions,
    progress: BuildProgress,
    skip: Callable[[str, str], None],
) -> None:
    """Build splits on Beam and wait for the job.

    Args:
        requests: the splits, none of them of a foreign SeqIO task.
        options: how they are built; `beam_flags` are Beam's own, such as `--runner=DirectRunner`.
        progress: is told of examples and tasks when the job is done; the runner shows its own meanwhile.
        skip: is called with the name of each task that failed, and why.

    Raises:
        ValueError: Beam is not installed; with `fail_fast`, a task that failed.
    """
    try:
        import apache_beam as beam
        from apache_beam.options.pipeline_options import PipelineOptions
    except ImportError as error:
        raise ValueError(
            f'got {" ".join(options.beam_flags)}, but Beam cannot be imported ({error}); install '
            'flanlite[beam]'
        ) from error
    packed = pack(requests, options)
    for request in requests:
        remote.take_text(reason_file(request))  # of an earlier job that was ended
    with beam.Pipeline(options=PipelineOptions(with_unit(options.beam_flags))) as pipeline:
        _ = pipeline | 'Splits' >> beam.Create(packed) | 'Build' >> beam.Map(build_one)
    for request in requests:
        why = remote.take_text(reason_file(request))
        found = None if why else open_cached(request)
        if not why and not found:
            why = NOTHING
        progress.advance(len(found) if found else 0, task=True)
        if why and options.fail_fast:
            raise faults.failed(request.name, why)
        if why:
            skip(request.name, why)


def with_unit(flags: Sequence[str]) -> list[str]:
    """Return flags for Beam by which Dask, too, hands out one split at a time; it would hand out 128."""
    if any('DaskRunner' in flag for flag in flags) and not any(
        flag.startswith(('--dask_npartitions', '--dask_partition_size')) for flag in flags
    ):
        return [*flags, '--dask_partition_size=1']
    return list(flags)


def pack(requests: Sequence[Request], options: BuildOptions) -> list[bytes]:
    """Pickle requests with the code of modules that are installed nowhere, such as those that `--import`
    loads.
    """
    own = [
        module
        for name, module in list(sys.modules.items())
        if isinstance(module, types.ModuleType)  # some packages put other things there
        and getattr(module, '__file__', None)
        and name.partition('.')[0] not in ('flanlite', '__main__')
        and fingerprints.followed(name)
    ]
    for module in own:
        cloudpickle.register_pickle_by_value(module)
    sent = dataclasses.replace(options, fail_fast=False)  # a reason comes back, not an error
    try:
        # Described here, for all.
        return [cloudpickle.dumps((request, sent)) for request in requests if request.described]
    finally:
        for module in own:
            cloudpickle.unregister_pickle_by_value(module)


def build_one(message: bytes) -> None:
    """Build a split on a Beam worker; where that fails, write the reason beside it, since only files come
    back from everywhere.
    """
    from apache_beam.metrics import Metrics

    request, options = cloudpickle.loads(message)
    if why := build.attempt(request, options, Metrics.counter('flanlite', 'examples').inc):
        remote.write_text(reason_file(request), why)


def reason_file(request: Request) -> str:
    """Return the path or URL of the file with the reason why a split could not be built."""
    home = request.task_url if request.store else str(request.folder.parent)
    return f'{home}/.{request.folder.name}.failed'
