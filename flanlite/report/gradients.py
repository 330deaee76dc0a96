"""Cosines between the gradients of tasks, and of clusters, from their products as they are kept for a
checkpoint.

Letters in the names of arrays: P parts (a module in a layer), H halves of a task's batches, T tasks, N groups
of tasks.
"""

import io
import pathlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

FOLDER = 'gradients'  # of a sweep, with a file for each checkpoint
SUFFIX = '.npz'


class TaskGradients(NamedTuple):
    """What was measured of one checkpoint.

    Args:
        step: the checkpoint's.
        tasks: the T tasks' names.
        clusters: the cluster of each; a task without one has its own name.
        modules: the module of each of P parts, such as `encoder/attention`.
        layers: the layer of each part, from 0; below 0 where it is outside the stacks of layers.
        products: float64[P, H, T, H, T], the product of each two gradients over the part's parameters.
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
        float64[H, T, H, T].
        """
        chosen = [
            module in (None, own) and layer in (None, place)
            for own, place in zip(self.modules, self.layers, strict=True)
        ]
        return self.products[np.array(chosen)].sum(axis=0)


def folder_files(folder: pathlib.Path) -> list[pathlib.Path]:
    """List the files of a sweep's folder that `read` reads, by their steps."""
    return sorted((folder / FOLDER).glob(f'*{SUFFIX}'), key=lambda path: int(path.stem))


def read(path: pathlib.Path) -> TaskGradients:
    """Read what `TaskGradients.to_bytes` wrote; a `ValueError` names a file that is none."""
    try:
        with np.load(path) as found:
            lists = [found[name].tolist() for name in TaskGradients._fields if name != 'products']
            return TaskGradients(lists[0], *map(tuple, lists[1:]), found['products'])
    except Exception as error:  # of many kinds: NumPy's, zip's, the disk's
        raise ValueError(
            f'cannot read {path}: {type(error).__name__}: {error}; remove it, and flanlite conflict measures '
            'that checkpoint again'
        ) from error


def cosines(products_HTHT: np.ndarray, groups: Sequence[Sequence[int]]) -> np.ndarray:
    """Return the cosine between each two of N groups, float64[N, N]. On the diagonal stands that between the
    two halves of a group's batches. A cosine with a gradient of zeros is nan.

    Args:
        products_HTHT: see `TaskGradients`.
        groups: the tasks of each; a group's gradient is the mean of theirs.
    """
    mix_NT = np.zeros((len(groups), products_HTHT.shape[1]))
    for number, tasks in enumerate(groups):
        mix_NT[number, list(tasks)] = 1 / len(tasks)
    of_halves_HNHN = np.einsum('NT,HTGU,MU->HNGM', mix_NT, products_HTHT, mix_NT, optimize=True)
    whole_NN = of_halves_HNHN.mean(axis=(0, 2))
    first_N, second_N, between_N = (
        np.diag(of_halves_HNHN[half, :, other]) for half, other in ((0, 0), (1, 1), (0, 1))
    )
    with np.errstate(divide='ignore', invalid='ignore'):
        found_NN = whole_NN / np.sqrt(np.outer(np.diag(whole_NN), np.diag(whole_NN)))
        np.fill_diagonal(found_NN, between_N / np.sqrt(first_N * second_N))
    return np.where(np.isfinite(found_NN), found_NN, np.nan)


class Agreement(NamedTuple):
    """How far gradients agree over some parameters: means of cosines, nan where there are none.

    Args:
        between: of two clusters.
        conflicts: the share of pairs of clusters whose cosine is negative.
        within: of two tasks of one cluster.
        halves: of two halves of a task's batches.
    """

    between: float
    conflicts: float
    within: float
    halves: float


def agreement(products_HTHT: np.ndarray, measured: TaskGradients) -> Agreement:
    """Summarize the cosines over some parameters, as `TaskGradients.over` gives their products."""
    of_clusters_NN = cosines(products_HTHT, list(measured.by_cluster().values()))
    of_tasks_TT = cosines(products_HTHT, list(measured.by_task().values()))
    pairs = of_clusters_NN[np.triu_indices(len(of_clusters_NN), 1)]
    pairs = pairs[np.isfinite(pairs)]
    clusters = np.array(measured.clusters)
    same = np.triu(clusters[:, None] == clusters[None], 1)
    return Agreement(
        mean(pairs), mean((pairs < 0).astype(float)), mean(of_tasks_TT[same]), mean(np.diag(of_tasks_TT))
    )


def mean(values: np.ndarray) -> float:
    """Return the mean of what is a number; nan of nothing."""
    finite = values[np.isfinite(values)]
    return float(finite.mean()) if len(finite) else float('nan')
