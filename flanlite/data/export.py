"""Export of a mixture as it is trained, as files for other trainers, which flanlite reads back: the same
examples in the same order, as texts.

    train.jsonl or train.parquet    `prompt` and `completion`, and where an example comes from: `task`, `row`,
                                    `template`, `shots`, `source`, `licence`; of a prompt mix also
                                    `setting`, `form`, and `options`, of which the completion is one
    manifest.json                   settings, and of each task version, rate, counts and licence; what was
                                    left out, and why

The texts are rendered anew from the data sets' rows, since no vocabulary gives back each text.
"""

import collections
import dataclasses
import itertools
import json
import pathlib
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from flanlite.data.batches.batches import Order
from flanlite.data.cache.cache import spec_at_hand
from flanlite.data.cache.cached_split import CachedSplit
from flanlite.data.cache.view import View
from flanlite.data.config import DataConfig
from flanlite.data.mixing.mixtures import listed
from flanlite.data.rendering import rendering
from flanlite.data.rendering.rendering import Rendered
from flanlite.data.specs.specs import DatasetSpec
from flanlite.data.training_data import TrainingData
from flanlite.paths import at_home, check_folder
from flanlite.version import __version__
from flanlite.writing import unfinished_name

FORMATS = ('jsonl', 'parquet')
# Licences that let anyone pass data on, for any use; and words of terms that do not, or are not known.
OPEN = re.compile(
    r'apache|\bmit\b|\bbsd\b|\bafl\b|cc0|public domain|\bcc[ -]by\b|odc-by|free use|free for any use',
    re.IGNORECASE,
)
FORBIDDING = re.compile(
    r'\b(?:nc|nd)\b|non-?commercial|research|academic|terms|agreement'
    r'|unknown|unclear|\bno licence\b|vary|varies',
    re.IGNORECASE,
)
GROUP = 10_000  # rows of a Parquet file that are written together


def export(
    config: DataConfig,
    output: str,
    form: str = 'jsonl',
    examples: int | None = None,
    seed: int = 0,
    permissive: bool = False,
) -> pathlib.Path:
    """Write the training examples of a mixture.

    Args:
        config: the data of a run; what `pack` and the batch size say plays no part.
        output: the folder to write, which must not be there.
        form: `jsonl` or `parquet`.
        examples: so many examples in the order in which a run with this seed draws them, by the mixture's
            rates; all texts of them are held in memory. None for each example once, a task after the other.
        seed: of the run.
        permissive: leave out data sets whose licence is not known to be permissive.

    Returns:
        The folder.

    Raises:
        ValueError: a number or form that cannot be, a folder that is there, or a mixture of which nothing can
            be exported.
    """
    folder = pathlib.Path(at_home(output))
    check_folder(folder, 'name another --output')
    if form not in FORMATS:
        raise ValueError(f'unknown form {form!r}; expected {" or ".join(FORMATS)}')
    if examples is not None and examples < 1:
        raise ValueError(f'got examples={examples}; expected at least 1, or None for each once')
    if examples is not None and config.mixture.stages:
        raise ValueError(
            f'got examples={examples} of a mixture with stages, whose rates change at training steps, and a '
            'file has none; expected each example once, or a mixture without stages'
        )
    if folder.exists():
        raise ValueError(f'{output} is there already; expected a new folder, so that no old file stays in it')
    data = TrainingData.resolve(config, seed, 'encoder_decoder')
    left_out = refused(data, permissive)
    kept = tuple(entry for entry in data.mixture.entries if entry.task not in left_out)
    if not kept:
        raise ValueError(f'nothing of {data.mixture.name!r} can be exported: {said(left_out)}')
    data = dataclasses.replace(data, mixture=dataclasses.replace(data.mixture, entries=kept)).build()
    view = data.view('train')
    told = {name: about(data, view, name, split) for name, split in data.cached.splits.items()}
    unfinished = folder.with_name(unfinished_name(folder))
    unfinished.mkdir(parents=True)
    try:
        counts: collections.Counter[str] = collections.Counter()
        rows = each_once(data, view) if examples is None else drawn(data, view, examples, seed)
        mixed = any(each['prompt_mix'] for each in told.values())
        write(unfinished / f'train.{form}', form, counted(rows, told, counts), mixed)
        manifest = {
            'flanlite': __version__,
            'examples': examples or 'each once',
            'seed': seed,
            'permissive': permissive,
            **{key: data.manifest()[key] for key in ('mixture', 'style', 'vocabulary', 'feature_lengths')},
            'tasks': {name: {'exported': counts[name], **each} for name, each in told.items()},
            'forbidding': {
                name: each['licence'] for name, each in told.items() if not is_permissive(each['licence'])
            },
            'left_out': left_out,
            'skipped': data.cached.skipped,
        }
        (unfinished / 'manifest.json').write_text(json.dumps(manifest, indent=1), encoding='utf-8')
        unfinished.rename(folder)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    tell(folder, manifest)
    return folder


def refused(data: TrainingData, permissive: bool) -> dict[str, str]:
    """Return why some tasks of a mixture are left out."""
    found, view = {}, data.view('train')
    for entry in data.mixture.entries:
        spec = spec_at_hand(entry.task, view, data.config.data_dir)
        if not isinstance(spec, DatasetSpec):
            found[entry.task] = 'its examples are tokens and no texts: it is plain text, or a task of SeqIO'
        elif permissive and not is_permissive(spec.licence):
            found[entry.task] = f'its licence is {spec.licence or "not recorded"!r}'
    return found


def is_permissive(licence: str) -> bool:
    """Return whether a licence lets anyone pass data on for any use, under the same terms perhaps, so far as
    its words say.
    """
    return bool(OPEN.search(licence)) and not FORBIDDING.search(licence)


def about(data: TrainingData, view: View, name: str, split: CachedSplit) -> dict[str, Any]:
    """Describe a task for the manifest."""
    spec = spec_at_hand(name, view, data.config.data_dir)
    return {
        'cluster': spec.cluster,
        'rate': data.rates[name],
        'examples': split.num_examples,
        'source': split.manifest['source'],
        'version': split.manifest['version'],
        'licence': spec.licence,
        'link': spec.link,
        'lineage': list(spec.lineage),
        'shots': split.manifest['shots'],
        'prompt_mix': split.manifest.get('prompt_mix'),
    }


def texts_of(data: TrainingData, view: View, name: str) -> Iterator[Rendered]:
    """Render a task's training examples, in the order of its cached split."""
    spec = spec_at_hand(name, view, data.config.data_dir)
    own = dataclasses.replace(view.of_task(name, spec), vocabulary=data.vocabulary)
    settings = {
        'style': own.style,
        'renderings': own.renderings,
        'limit': own.max_examples,
        'shots': own.shots,
        'mix': own.prompt_mix,
    }
    dropped = own.dropped_rows().get(name, frozenset())
    found = rendering.texts(spec, 'train', data.vocabulary, dropped=dropped, **settings)
    return itertools.islice(found, data.cached.splits[name].num_examples)


def each_once(data: TrainingData, view: View) -> Iterator[tuple[str, Rendered]]:
    """Yield every example of every task that is trained on."""
    for name, rate in data.rates.items():
        for example in texts_of(data, view, name) if rate > 0 else ():
            yield name, example


def drawn(data: TrainingData, view: View, examples: int, seed: int) -> Iterator[tuple[str, Rendered]]:
    """Yield examples as a run draws them before they are packed."""
    splits = list(data.cached.splits.values())
    order = Order(splits, [data.rates[split.name] for split in splits], seed, data.config.window)
    windows = map(order.draw, itertools.count())
    tasks: list[np.ndarray] = []
    indices: list[np.ndarray] = []
    while sum(map(len, tasks)) < examples:
        task, index = next(windows)
        tasks.append(task)
        indices.append(index)
    task_N, index_N = (np.concatenate(each)[:examples] for each in (tasks, indices))
    found: dict[tuple[int, int], Rendered] = {}
    for number in np.unique(task_N).tolist():
        wanted = set(index_N[task_N == number].tolist())
        for place, example in enumerate(texts_of(data, view, order.splits[number].name)):
            if place in wanted:
                found[number, place] = example
    for number, place in zip(task_N.tolist(), index_N.tolist(), strict=True):
        yield order.splits[number].name, found[number, place]


def counted(
    rows: Iterable[tuple[str, Rendered]],
    told: Mapping[str, Mapping[str, Any]],
    counts: collections.Counter[str],
) -> Iterator[dict[str, Any]]:
    """Yield the rows of the file, and count them by task."""
    for name, example in rows:
        counts[name] += 1
        yield {
            'prompt': example.inputs,
            'completion': example.targets,
            'task': name,
            'row': example.row,
            'template': example.template,
            'shots': example.shots,
            'source': told[name]['source'],
            'licence': told[name]['licence'],
            **(asked(example) if told[name]['prompt_mix'] else {}),
        }


def asked(example: Rendered) -> dict[str, Any]:
    """Describe how a prompt mix asks an example, with the options where the completion is one of them."""
    options = list(example.shown) if example.targets in example.shown else []
    return {'setting': example.setting, 'form': example.form, 'options': options}


def write(path: pathlib.Path, form: str, rows: Iterator[dict[str, Any]], mixed: bool) -> None:
    """Write rows as JSON lines, or as Parquet in groups of rows, with a prompt mix's columns or without."""
    if form == 'jsonl':
        with path.open('w', encoding='utf-8') as file:
            file.writelines(json.dumps(row, ensure_ascii=False) + '\n' for row in rows)
        return
    import pyarrow
    import pyarrow.parquet

    text, number = pyarrow.string(), pyarrow.int64()
    columns = {'prompt': text, 'completion': text, 'task': text, 'row': number, 'template': number}
    columns |= {'shots': number, 'source': text, 'licence': text}
    if mixed:
        columns |= {'setting': text, 'form': text, 'options': pyarrow.list_(text)}
    schema = pyarrow.schema(list(columns.items()))
    with pyarrow.parquet.ParquetWriter(path, schema) as writer:
        for chunk in rendering.in_chunks(rows, GROUP):
            writer.write_table(pyarrow.Table.from_pylist(chunk, schema))


def said(reasons: Mapping[str, str]) -> str:
    """Name tasks with reasons in a sentence, those of one reason together."""
    tasks: dict[str, list[str]] = {}
    for name, reason in reasons.items():
        tasks.setdefault(reason, []).append(name)
    return '; '.join(f'{listed(names)}: {reason}' for reason, names in tasks.items())


def tell(folder: pathlib.Path, manifest: Mapping[str, Any]) -> None:
    """Print what was written, what was left out, and which licences forbid something."""
    exported = {name: each['exported'] for name, each in manifest['tasks'].items() if each['exported']}
    print(f'wrote {sum(exported.values()):,} examples of {len(exported)} data sets to {folder}')
    if manifest['left_out']:
        print(f'left out: {said(manifest["left_out"])}')
    if forbidding := {name: each for name, each in manifest['forbidding'].items() if name in exported}:
        named = said({name: licence or 'none recorded' for name, licence in forbidding.items()})
        print(f'not known to be free to pass on for any use (--permissive leaves them out): {named}')
