"""The page of `flanlite show --html`: what a mixture's training data looks like."""

import dataclasses
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from flanlite.data import overview
from flanlite.data.cache.cached_split import CachedSplit
from flanlite.data.overview import Duplicates, Packing
from flanlite.data.specs import registry, specs
from flanlite.data.tokens.vocabulary import Vocabulary
from flanlite.report import page
from flanlite.writing import write_whole

COUNTED = ('examples', 'max_examples', 'max_rate', 'rate', 'share %')  # columns of the table of tasks
SIDES = ('inputs', 'targets')
COLOURS = 12  # of tasks in the picture of packed rows
MOST_TOKENS = 400  # of a text that is shown
MOST_LETTERS = 600
MOST_ROWS = 24  # of the picture
BINS = 24


@dataclasses.dataclass(frozen=True)
class Histogram:
    """How long the examples of a task are on one side.

    Args:
        side: inputs or targets.
        bars: the share of examples in each bin, of the fullest.
        counts: the examples in each bin.
        width: the tokens of a bin; the last one holds all that are longer, too.
        longest: the longest example.
        median: of the lengths.
        cut: the length at which a run cuts.
        truncated: how many examples are longer.
        total: how many there are.
    """

    side: str
    bars: list[float]
    counts: list[int]
    width: int
    longest: int
    median: float
    cut: int
    truncated: int
    total: int

    @property
    def cut_at(self) -> float | None:
        """Return where in the picture the cut is, from 0 to 1; None where it is beyond it."""
        place = self.cut / (self.width * len(self.bars))
        return place if place <= 1 else None


def build(
    path: str,
    title: str,
    facts: Sequence[str],
    counts: Sequence[Sequence[str]],
    splits: Mapping[str, CachedSplit],
    clusters: Mapping[str, str],
    vocabulary: Vocabulary,
    lengths: Mapping[str, int],
    packed: Packing,
    repeated: Mapping[str, Duplicates],
    skipped: Mapping[str, str],
    examples: int = 1,
) -> None:
    """Write the page.

    Args:
        path: of the file.
        title: its heading.
        facts: what stands below it.
        counts: a row for each task: cluster, task, and its numbers by `COUNTED`.
        splits: the cached split of each task.
        clusters: of each task.
        vocabulary: that of the splits.
        lengths: at which examples are cut, by side.
        packed: the first batch.
        repeated: the equal rows of each task.
        skipped: why other tasks could not be read.
        examples: how many of each template are shown.
    """
    colours = {name: number % COLOURS for number, name in enumerate(splits)}
    filled = {
        'title': title,
        'facts': facts,
        'counts': counts,
        'tasks': [
            {
                'name': name,
                'cluster': clusters.get(name, ''),
                'colour': colours[name],
                'count': split.num_examples,
                'histograms': [histogram(split.lengths, side, lengths[side]) for side in SIDES],
                'templates': templates(name, split, vocabulary, lengths, examples),
                'repeated': repeated[name],
            }
            for name, split in splits.items()
        ],
        'packing': picture(packed, colours),
        'repeated': repeated,
        'counted': COUNTED,
        'skipped': skipped,
        'letters': MOST_LETTERS,
    }
    # Texts of strangers may hold halves of characters, which UTF-8 cannot write.
    write_whole(path, page.render('data.html', filled).encode('utf-8', 'backslashreplace'))


def histogram(lengths: np.ndarray, side: str, cut: int) -> Histogram:
    """Count a task's examples by their lengths on one side.

    Args:
        lengths: int[N, 2], of inputs and of targets, in tokens; N is at least 1.
        side: inputs or targets.
        cut: the length at which a run cuts.
    """
    found = np.asarray(lengths[:, SIDES.index(side)], np.int64)
    # A few very long examples do not press the others into one bin.
    common = int(np.quantile(found, 0.99, method='lower') * 1.1)
    last = max(1, common, min(cut, int(found.max())))
    width = -(-(last + 1) // BINS)
    bins = np.bincount(np.minimum(found // width, BINS - 1), minlength=BINS)
    return Histogram(
        side,
        (bins / bins.max()).tolist(),
        bins.tolist(),
        width,
        int(found.max()),
        float(np.median(found)),
        cut,
        int((found > cut).sum()),
        len(found),
    )


def templates(
    name: str, split: CachedSplit, vocabulary: Vocabulary, lengths: Mapping[str, int], count: int
) -> list[dict[str, Any]]:
    """Return each template of a task with its wording, and examples of it as pieces of text with their token
    ids.
    """
    spec = registry.find_spec(name)
    wordings = spec.style_templates(split.manifest['style']) if isinstance(spec, specs.DatasetSpec) else ()
    found = overview.by_template(split, count)
    shown = []
    for number in sorted({*range(len(wordings)), *found}):
        template = wordings[number] if 0 <= number < len(wordings) else None
        examples = [
            {
                'row': example.row,
                'sides': [
                    side_of(side, ids, vocabulary, lengths[side])
                    for side, ids in zip(SIDES, (example.inputs, example.targets), strict=True)
                ],
            }
            for example in found.get(number, ())
        ]
        shown.append({'number': number, 'template': template, 'examples': examples})
    return shown


def side_of(side: str, ids: np.ndarray, vocabulary: Vocabulary, cut: int) -> dict[str, Any]:
    """Return a text as pieces with their token ids, and where it is cut."""
    tokens = ids[:MOST_TOKENS].tolist()
    pieces = list(zip(vocabulary.pieces(tokens), tokens, strict=True))
    return {
        'side': side,
        'pieces': pieces[:cut],
        'cut': pieces[cut:],
        'count': len(ids),
        'lost': max(0, len(ids) - cut),
        'hidden': max(0, len(ids) - MOST_TOKENS),
    }


def picture(packed: Packing, colours: Mapping[str, int]) -> dict[str, Any]:
    """Return the rows of the picture of a batch: by side, segments as shares of its width."""
    rows = [
        [
            {
                'side': side,
                'parts': [
                    {
                        'left': 100 * part.start / packed.room[side],
                        'width': 100 * part.length / packed.room[side],
                        'colour': colours.get(part.task, 0),
                        'told': f'{part.task}, example {part.number} of the row: {part.length} tokens',
                    }
                    for part in packed.sides[side][row]
                ],
            }
            for side in packed.sides
        ]
        for row in range(min(MOST_ROWS, len(packed.sides['targets'])))
    ]
    present = {part.task for side in packed.sides.values() for row in side[:MOST_ROWS] for part in row}
    return {
        'rows': rows,
        'count': len(packed.sides['targets']),
        'examples': packed.examples(),
        'fill': {side: packed.fill(side) for side in packed.sides},
        'room': packed.room,
        'legend': {task: colour for task, colour in colours.items() if task in present},
    }


def check(path: str) -> None:
    """Refuse a file that cannot be written, before anything is read."""
    target = pathlib.Path(path)
    if target.is_dir() or not target.absolute().parent.is_dir():
        raise ValueError(f'--html is {path!r}; expected a file in a folder that is there, such as data.html')
