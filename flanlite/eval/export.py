"""Export of evaluation splits as tasks of EleutherAI's lm-evaluation-harness, which then asks any model what
`flanlite eval` asks.

    <data set>_t<template>.yaml     a task
    <mixture>_....yaml              groups: the templates of a data set, and all data sets
    data/<data set>_t<template>.jsonl
    flanlite_tasks.py               reads the data beside it, and scores by our metrics where the harness
                                    lacks them
"""

import itertools
import json
import pathlib
import re
import shutil
from collections.abc import Collection, Iterator
from typing import Any

from flanlite.data.cache.cache import spec_at_hand
from flanlite.data.cache.view import View, view_of
from flanlite.data.mixing import mixtures
from flanlite.data.mixing.mixtures import MixtureConfig
from flanlite.data.rendering import rendering
from flanlite.data.rendering.rendering import Rendered
from flanlite.data.specs.sources import MissingDataError
from flanlite.data.specs.specs import DatasetSpec
from flanlite.data.tokens import vocabularies
from flanlite.eval.splits import DEFAULT_TARGET_LENGTH, FALLBACK
from flanlite.metrics import metrics
from flanlite.paths import at_home, check_folder
from flanlite.writing import unfinished_name

# Metrics that are a mean of the harness's own `exact_match` or `acc`.
EQUAL = ('accuracy', 'multiple_choice_grade')
# What a text of JSON may have in it and one of YAML may not, or takes for the end of a line.
UNPRINTABLE = re.compile(r'[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]')
CODE = '''"""Reads the data beside this file, and scores by flanlite's metrics. Made by `flanlite export`."""

import json
import pathlib
import re


def load(file, **about):
    """Read the examples of a task, texts as texts whatever they look like."""
    import datasets

    path = pathlib.Path(__file__).parent / 'data' / file
    with path.open(encoding='utf-8') as lines:
        first = json.loads(next(lines))
    numbers = {name: datasets.Value('int64' if name in ('row', 'gold') else 'string') for name in first}
    features = {name: [kind] if isinstance(first[name], list) else kind for name, kind in numbers.items()}
    return datasets.load_dataset('json', data_files={'test': str(path)}, features=datasets.Features(features))


def read_answer(doc, text):
    """Return the answer in what a model wrote: the last match of the data set's pattern, or all of it."""
    found = re.findall(doc['extract'], text) if doc['extract'] else []
    return found[-1] if found else text


def strip(doc, results):
    """Match an answer as `flanlite eval` does: white space around it does not count."""
    found = read_answer(doc, results[0]).strip()
    return {'exact_match': float(found in [answer.strip() for answer in doc['answers']])}


def count(doc, results):
    """Count an answer by the metric of its data set; needs flanlite."""
    from flanlite.metrics.metrics import get_metric

    metric = get_metric(doc['metric'])
    if doc['options']:
        best = max(range(len(results)), key=lambda option: results[option][0])
        prediction = doc['options'][best]
    else:
        prediction = read_answer(doc, results[0])
    counted = (metric.name, metric.count_one(prediction, doc['answers']).tolist(), doc['group'])
    return {name: counted for name in metric.names}


def aggregate(number):
    """Make the function that turns the counts of all examples into a score of their metric, from 0 to 1."""

    def score(counted):
        import numpy as np
        from flanlite.metrics.metrics import get_metric

        metric = get_metric(counted[0][0])
        counts = np.array([counts for _, counts, _ in counted])
        counts = metric.together(counts) if metric.together else counts
        groups = [group for _, _, group in counted]
        counts = metric.with_groups(counts, groups if any(groups) else None)
        return float(metric.score(counts.sum(axis=0))[number]) / 100

    return score


score_0, score_1, score_2, score_3 = map(aggregate, range(4))
'''


def export(
    mixture: MixtureConfig | str,
    output: str,
    split: str = 'test',
    max_rows: int | None = None,
    feature_lengths: dict[str, int] | None = None,
    vocabulary: str | None = None,
    data_dir: str | None = None,
    max_length: int | None = None,
) -> pathlib.Path:
    """Write the evaluation split of every data set of a mixture as tasks of the harness, one a template.

    Args:
        mixture: its settings, or its name alone, such as `flan2021_held_out_nli_eval`.
        output: the folder to write, which must not be there.
        split: train, validation or test; a data set without a test split gives its validation split.
        max_rows: at most so many rows of each data set.
        feature_lengths: {'inputs': S, 'targets': T}: exemplars have room in S tokens.
        vocabulary: counts the tokens of exemplars; by default the mixture's own.
        data_dir: the folder of local data; by default that of FLANLITE_DATA_DIR.
        max_length: tokens of a written answer; by default the targets' length, or what an evaluation takes
            where a model has no lengths.

    Returns:
        The folder.

    Raises:
        ValueError: a mixture or split that does not exist, of which nothing can be read, or with SeqIO's
            tasks; or a folder that is there.
    """
    folder = pathlib.Path(at_home(output))
    check_folder(folder, 'name another --output')
    if folder.exists():
        raise ValueError(f'{output} is there already; expected a new folder, so that no old task stays in it')
    mixed = mixtures.resolve(mixture, data_dir)
    loaded = vocabularies.load(vocabulary or mixed.vocabulary, data_dir)
    view = view_of(mixed, split, loaded, feature_lengths, max_rows=max_rows, scored=True)
    unfinished = folder.with_name(unfinished_name(folder))
    unfinished.mkdir(parents=True)
    try:
        (unfinished / 'data').mkdir()
        (unfinished / 'flanlite_tasks.py').write_text(CODE, encoding='utf-8')
        longest = max_length or (feature_lengths or {'targets': DEFAULT_TARGET_LENGTH})['targets']
        taken = {task_name(mixed.name)} if len(mixed.entries) > 1 else set()
        groups: dict[str, tuple[list[str], str]] = {}
        skipped: dict[str, str] = {}
        for entry in mixed.entries:
            spec = spec_at_hand(entry.task, view, data_dir)
            if not isinstance(spec, DatasetSpec):
                raise ValueError(
                    f"{entry.task!r} is a text or a task of SeqIO; export takes flanlite's own data sets"
                )
            try:
                name = free_name(task_name(entry.task), taken)
                groups[name] = write_tasks(spec, name, view.of_task(entry.task, spec), unfinished, longest)
                taken |= {name, *groups[name][0]}
            except (ValueError, OSError) as error:  # the others are written all the same
                skipped[entry.task] = str(error)
                print(f'skipped {entry.task}: {error}')
        if not groups:
            raise ValueError(f'nothing of {mixed.name!r} can be exported: {"; ".join(skipped.values())}')
        for name, (members, metric) in groups.items():
            write_group(unfinished, name, members, metric)
        if (name := task_name(mixed.name)) not in groups:
            # The harness takes the mean over all tasks: that over data sets where these have as many.
            alike = {(metric, len(members)) for members, metric in groups.values()}
            write_group(unfinished, name, list(groups), alike.pop()[0] if len(alike) == 1 else None)
        unfinished.rename(folder)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    tasks = sum(len(members) for members, _ in groups.values())
    named = f'the group of all is {task_name(mixed.name)}'
    print(f'wrote {tasks} tasks of {len(groups)} data sets to {folder}; {named}')
    return folder


def write_tasks(
    spec: DatasetSpec, own: str, view: View, folder: pathlib.Path, longest: int
) -> tuple[list[str], str]:
    """Write the tasks of a data set, one a template, whose names begin with its `own` one; return their
    names, and that of the main score.
    """
    settings = {'style': view.style, 'renderings': 'all', 'limit': view.max_examples, 'shots': view.shots}
    settings['mix'] = view.prompt_mix
    candidates = [
        split for split in (view.split, FALLBACK.get(view.split)) if split and spec.splits.get(split)
    ]
    if not candidates:
        raise ValueError(f'data set {spec.name!r} has no {view.split} split')
    for split in candidates:
        try:
            found = list(rendering.texts(spec, split, view.vocabulary, **settings))
        except MissingDataError:
            if split == candidates[-1]:
                raise
        else:
            break
    by_template: dict[int, list[Rendered]] = {}
    for example in found:
        by_template.setdefault(example.template, []).append(example)
    if not by_template:
        raise ValueError(f'data set {spec.name!r} has no rows in its {split} split')
    names = []
    for template, examples in by_template.items():
        name = f'{own}_t{template}'
        # Of a data set some rows of which have options, the others are left out, as in `flanlite eval`.
        asked = [example for example in examples if example.options] or examples
        rows = list(rows_of(spec, asked))
        if empty := [row['row'] for row in rows if '' in row.get('choices', row['options'])]:
            raise ValueError(f'row {empty[0]} has an empty option, which the harness cannot ask')
        with (folder / 'data' / f'{name}.jsonl').open('w', encoding='utf-8') as file:
            file.writelines(json.dumps(row, ensure_ascii=False) + '\n' for row in rows)
        described = task(spec, name, rows, longest)
        write_yaml(folder / f'{name}.yaml', described)
        names.append(name)
    return names, described['metric_list'][0]['metric']


def rows_of(spec: DatasetSpec, examples: list[Rendered]) -> Iterator[dict[str, Any]]:
    """Return the rows of a task's data."""
    metric = metrics.get_metric(spec.metric)
    for example in examples:
        answers = list(example.answers or (example.targets,))
        # Options that are worth all.
        gold = [
            i
            for i, option in enumerate(example.options)
            if metric.name in EQUAL and metric.count(option, answers)[0] >= 1
        ]
        gold = gold or [i for i, option in enumerate(example.options) if option in answers]
        yield {
            'row': example.row,
            'inputs': example.inputs,
            'options': list(example.options),
            **({'choices': list(example.shown)} if example.setting else {}),
            'answers': answers,
            'gold': gold or [0],
            'group': example.group,
            'metric': metric.name,
            'extract': '' if example.options else spec.extract,
        }


def task(spec: DatasetSpec, name: str, rows: list[dict[str, Any]], longest: int) -> dict[str, Any]:
    """Describe a task to the harness."""
    metric = metrics.get_metric(spec.metric)
    described: dict[str, Any] = {
        'task': name,
        'custom_dataset': '!function flanlite_tasks.load',
        'dataset_kwargs': {'file': f'{name}.jsonl'},
        'test_split': 'test',
        'doc_to_text': 'inputs',
        'metadata': {'version': 1.0},
    }
    own = [
        {'metric': each, 'aggregation': f'!function flanlite_tasks.score_{number}', 'higher_is_better': True}
        for number, each in enumerate(metric.names)
    ]
    if rows[0]['options']:
        choices = 'choices' if 'choices' in rows[0] else 'options'  # as a prompt mix lists them
        described |= {'output_type': 'multiple_choice', 'doc_to_choice': choices}
        one = all(len(row['gold']) == 1 for row in rows)
        described['doc_to_target'] = '{{gold[0]}}' if one else 'gold'
        # Else the harness puts a second blank between; behind it an option's own blank can be told.
        own_blank = any(option[:1] == ' ' for row in rows for option in row[choices])
        if all(row['inputs'][-1:].isspace() for row in rows) and not own_blank:
            described['target_delimiter'] = ''
        harness = [
            {'metric': each, 'aggregation': 'mean', 'higher_is_better': True} for each in ('acc', 'acc_norm')
        ]
        if metric.name == 'accuracy':
            return described | {'metric_list': harness}
        return described | {'process_results': '!function flanlite_tasks.count', 'metric_list': own}
    described |= {
        'output_type': 'generate_until',
        'doc_to_target': 'answers',
        'generation_kwargs': {'until': list(spec.stop), 'max_gen_toks': longest, 'do_sample': False},
    }
    if metric.name == 'accuracy':
        match = {'metric': 'exact_match', 'aggregation': 'mean', 'higher_is_better': True}
        return described | {'process_results': '!function flanlite_tasks.strip', 'metric_list': [match]}
    return described | {'process_results': '!function flanlite_tasks.count', 'metric_list': own}


def write_group(folder: pathlib.Path, name: str, members: list[str], metric: str | None) -> None:
    """Write a group of tasks or groups, with the mean of a score over all tasks in it; None for no score."""
    mean = [{'metric': metric, 'aggregation': 'mean', 'weight_by_size': False}] if metric else []
    described = {'group': name, 'task': members, 'aggregate_metric_list': mean, 'metadata': {'version': 1.0}}
    write_yaml(folder / f'{name}.group.yaml', described)


def write_yaml(path: pathlib.Path, described: dict[str, Any]) -> None:
    """Write a YAML file: JSON is YAML, but for the tags of functions, which stand without quotes."""
    text = json.dumps(described, indent=1, ensure_ascii=False)
    text = UNPRINTABLE.sub(lambda found: f'\\u{ord(found[0]):04x}', text)
    path.write_text(re.sub(r'"(!function [\w.]+)"', r'\1', text) + '\n', encoding='utf-8')


def free_name(wanted: str, taken: Collection[str]) -> str:
    """Return a data set's name, with a number where it, or that of one of its templates, is taken."""
    numbered = (f'{wanted}_{number}' for number in itertools.count(2))
    return next(
        name
        for name in itertools.chain([wanted], numbered)
        if name not in taken and not any(re.fullmatch(rf'{name}_t\d+', other) for other in taken)
    )


def task_name(name: str) -> str:
    """Return a name as the harness takes it."""
    return re.sub(r'\W', '_', name)
