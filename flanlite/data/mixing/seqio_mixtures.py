"""The rates that SeqIO's mixtures give their tasks."""

import contextlib
import functools
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from flanlite.data.rendering import seqio_tasks


@contextlib.contextmanager
def sizes_known(name: str, tasks: Sequence[str], num_examples: Mapping[str, int]) -> Iterator[None]:
    """Let SeqIO's rate functions use the number of cached examples of tasks whose source does not know its
    size.

    A task that could not be cached has 0 examples. While the body runs, a function on the task replaces
    SeqIO's own, which would fail.

    Args:
        name: of SeqIO's mixture.
        tasks: its tasks that have rate functions.
        num_examples: the number of cached examples of each task.
    """
    found = {task: seqio_tasks.registered_task(task) for task in tasks}
    # Ours would count by reading all rows again.
    sizes = {
        each: getattr(task.source, 'on_record', task.source.num_input_examples)('train')
        for each, task in found.items()
    }
    unknown = {each: task for each, task in found.items() if sizes[each] is None}
    for each, task in unknown.items():
        size = num_examples.get(each, 0)
        task.num_input_examples = lambda split, size=size: size
    try:
        yield
    except (TypeError, LookupError, AssertionError) as error:
        raise ValueError(
            f"the rates of SeqIO's mixture {name!r} cannot be computed: {type(error).__name__}: "
            f'{error}; mend its rate '
            "function, or set MixtureConfig.scheme = 'equal'"
        ) from error
    finally:
        for task in unknown.values():
            del task.num_input_examples


def seqio_rates(name: str) -> dict[str, Callable[[], float] | None]:
    """Return the tasks of a SeqIO mixture, as `seqio_tasks.name_of_member` names them, with functions that
    return their rates; a single SeqIO task has none.
    """
    seqio: Any = sys.modules['seqio']
    name = name.removeprefix(seqio_tasks.PREFIX)
    if name in seqio.TaskRegistry.names():
        return {seqio_tasks.name_of_member(name): None}
    mixture = seqio.MixtureRegistry.get(name)
    return {
        seqio_tasks.name_of_member(task.name): functools.partial(mixture.get_rate, task)
        for task in mixture.tasks
    }
