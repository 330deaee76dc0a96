"""Cosines between the gradients of tasks, and of clusters, from their products as they are kept for a
checkpoint.

Letters in the names of arrays: S seeds, P parts (a module in a layer), H halves of a task's batches, T tasks,
N groups of tasks.
"""

import io
import itertools
import pathlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from flanlite.report import seeds

FOLDER = 'gradients'  # of a sweep, with a file for each checkpoint
SUFFIX = '.npz'


class TaskGradients(NamedTuple):
    """What was measured of one checkpoint, by one seed's run or by the runs of several.

    Args:
        step: the checkpoint's.
        tasks: the T tasks' names.
        clusters: the cluster of each; a task without one has its own name.
        modules: the module of each of P parts, such as `encoder/attention`.
        layers: the layer of each part, from 0; below 0 where it is outside the stacks of layers.
        products: float64[S, P, H, T, H, T], of each seed the product of each two gradients over the part's
            parameters.
    """

    step: int
    tasks: tuple[str, ...]
    clusters: tuple[str, ...]
    modules: tuple[str, ...]
    layers: tuple[int, ...]
    products: np.ndarray

    def to_bytes(self) -> bytes:
        """Return the content of a file for `read`."""
        content = io.BytesIO()
        np.savez_compressed(content, **{name: np.asarray(field) for name, field in self._asdict().items()})
        return content.getvalue()

    def by_cluster(self) -> dict[str, list[int]]:
        """Return the numbers of each cluster's tasks."""
        found: dict[str, list[int]] = {}
        for number, cluster in enumerate(self.clusters):
            found.setdefault(cluster, []).append(number)
        return found

    def by_task(self) -> dict[str, list[int]]:
        """Return each task's own number, as `by_cluster` does those of a cluster."""
        return {task: [number] for number, task in enumerate(self.tasks)}

    def over(self, module: str | None = None, layer: int | None = None) -> np.ndarray:
        """Return the products over the parameters of all modules or of one, in all its layers or in one:
        float64[S, H, T, H, T].
        """
        chosen = [
            module in (None, own) and layer in (None, place)
            for own, place in zip(self.modules, self.layers, strict=True)
        ]
        return self.products[:, np.array(chosen)].sum(axis=1)


def file_of(folder: pathlib.Path, step: int, ending: str) -> pathlib.Path:
    """Return where a sweep's folder keeps what was measured at a step, with `Sweep.ending` of the seed."""
    return folder / FOLDER / f'{step}{ending}{SUFFIX}'


def step_of(path: pathlib.Path) -> int:
    """Return the step that a file of `file_of` is of."""
    return int(path.stem.partition('_')[0])


def folder_files(folder: pathlib.Path) -> list[pathlib.Path]:
    """List the files of a sweep's folder that `read` reads, by their steps, of which each may have several
    seeds.
    """
    return sorted((folder / FOLDER).glob(f'*{SUFFIX}'), key=lambda path: (step_of(path), path.name))


def read_folder(folder: pathlib.Path) -> tuple[TaskGradients, ...]:
    """Read what a sweep's folder has of each step, all seeds together, in the order of steps; steps that
    fewer seeds have than others are left out.
    """
    found = [
        same[0]._replace(products=np.concatenate([each.products for each in same]))
        for _, paths in itertools.groupby(folder_files(folder), step_of)
        for same in [list(map(read, paths))]
    ]
    most = max((len(each.products) for each in found), default=0)
    return tuple(each for each in found if len(each.products) == most)


def read(path: pathlib.Path) -> TaskGradients:
    """Read what `TaskGradients.to_bytes` wrote; a `ValueError` names a file that is none."""
    try:
        with np.load(path) as found:
            lists = [found[name].tolist() for name in TaskGradients._fields if name != 'products']
            if found['products'].ndim != 6:
                raise ValueError(f'products of {found["products"].ndim} dimensions, expected 6')
            return TaskGradients(lists[0], *map(tuple, lists[1:]), found['products'])
    except Exception as error:  # of many kinds: NumPy's, zip's, the disk's
        raise ValueError(
            f'cannot read {path}: {type(error).__name__}: {error}; remove it, and flanlite conflict measures '
            'that checkpoint again'
        ) from error


def cosines(products_SHTHT: np.ndarray, groups: Sequence[Sequence[int]]) -> np.ndarray:
    """Return the cosine between each two of N groups, float64[S, N, N]. On the diagonal stands that between
    the two halves of a group's batches. A cosine with a gradient of zeros is nan.

    Args:
        products_SHTHT: see `TaskGradients`.
        groups: the tasks of each; a group's gradient is the mean of theirs.
    """
    mix_NT = np.zeros((len(groups), products_SHTHT.shape[2]))
    for number, tasks in enumerate(groups):
        mix_NT[number, list(tasks)] = 1 / len(tasks)
    of_halves_SHNHN = np.einsum('NT,SHTGU,MU->SHNGM', mix_NT, products_SHTHT, mix_NT, optimize=True)
    whole_SNN = of_halves_SHNHN.mean(axis=(1, 3))
    own_SN = np.einsum('SNN->SN', whole_SNN)
    first_SN, second_SN, between_SN = (
        np.einsum('SNN->SN', of_halves_SHNHN[:, half, :, other]) for half, other in ((0, 0), (1, 1), (0, 1))
    )
    with np.errstate(divide='ignore', invalid='ignore'):
        found_SNN = whole_SNN / np.sqrt(own_SN[:, :, None] * own_SN[:, None])
        diagonal = np.arange(len(groups))
        found_SNN[:, diagonal, diagonal] = between_SN / np.sqrt(first_SN * second_SN)
    return np.where(np.isfinite(found_SNN), found_SNN, np.nan)


def mean_cosines(
    measured: TaskGradients,
    groups: Sequence[Sequence[int]],
    module: str | None = None,
    layer: int | None = None,
) -> np.ndarray:
    """Return the means over the seeds of the cosines between groups over some parameters, as
    `TaskGradients.over` takes them: float64[N, N].
    """
    return cosines(measured.over(module, layer), groups).mean(axis=0)


class Agreement(NamedTuple):
    """How far gradients agree over some parameters: means of cosines, also over the seeds; nan where there
    are none.

    Args:
        between: of two clusters.
        reach: how far the 95% interval of `between` over the seeds reaches to either side; 0 of one seed.
        conflicts: the share of pairs of clusters whose cosine is negative.
        within: of two tasks of one cluster.
        halves: of two halves of a task's batches.
    """

    between: float
    reach: float
    conflicts: float
    within: float
    halves: float


def agreement(measured: TaskGradients, module: str | None = None, layer: int | None = None) -> Agreement:
    """Summarize the cosines over some parameters, as `TaskGradients.over` takes them."""
    products_SHTHT = measured.over(module, layer)
    of_clusters_SNN = cosines(products_SHTHT, list(measured.by_cluster().values()))
    of_tasks_STT = cosines(products_SHTHT, list(measured.by_task().values()))
    pairs = of_clusters_SNN[:, *np.triu_indices(of_clusters_SNN.shape[1], 1)]
    finite = pairs[np.isfinite(pairs)]
    clusters = np.array(measured.clusters)
    same = np.triu(clusters[:, None] == clusters[None], 1)
    return Agreement(
        mean(pairs),
        seeds.reach(list(map(mean, pairs))),
        mean((finite < 0).astype(float)),
        mean(of_tasks_STT[:, same]),
        mean(np.einsum('STT->ST', of_tasks_STT)),
    )


def mean(values: np.ndarray) -> float:
    """Return the mean of what is a number; nan of nothing."""
    finite = values[np.isfinite(values)]
    return float(finite.mean()) if len(finite) else float('nan')
