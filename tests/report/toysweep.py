"""A made-up sweep: two clusters, three data sets, six systems."""

import json

import numpy as np

from flanlite.metrics import metrics
from flanlite.report import predictions, results
from flanlite.report.scores import TaskScores

CHANCES = {
    'tuned': 0.8,
    'no_instructions': 0.55,
    'untuned': 0.5,
    'untuned_plain': 0.5,
    'majority': 0.5,
    'chance': 0.5,
}


WORDINGS = {index: f'Wording {index} of\n{{text}}' for index in range(5)}


def task_scores(task, chance, templates, seed):
    random = np.random.default_rng(seed)
    right = (random.random((80, templates)) < chance).astype(float)
    places = np.tile(np.arange(templates), 80) if templates > 1 else np.full(80, -1)
    counts = np.stack([right.ravel(), np.ones(right.size)], axis=1)
    return TaskScores(
        task, metrics.get_metric('accuracy'), 'rank', np.repeat(np.arange(80), templates), places, counts
    )


HOSTILE = '</script><script>document.title = "taken"</script><img src=x onerror=alert(1)> \u202etxet \x00\x1b 🫠 שלום'


def answered(scored, reads):
    """What a system was asked: yes or no, where the right answer turns with the row."""
    for row, template, (right, _) in zip(scored.rows, scored.templates, scored.counts, strict=True):
        true, other = ('yes', 'no') if row % 2 else ('no', 'yes')
        said = true if right else other
        shown = {
            'options': ['yes', 'no'],
            'answers': [true],
            'prediction': said,
            'values': {'accuracy': 100 * right},
        }
        logits = {'scores': [-0.25, -1.5] if said == 'yes' else [-1.5, -0.25]} if reads else {}
        inputs = f'ü? row {row}, template {template} {HOSTILE if row == 3 else ""}' if reads else None
        index = int(template) if reads else None
        yield {'task': scored.task, 'row': int(row), 'template': index, 'inputs': inputs} | shown | logits


def write_sweep(folder):
    for cluster, tasks in {'nli': ('a', 'b'), 'sentiment': ('c',)}.items():
        for system, chance in CHANCES.items():
            templates = 5 if system in ('tuned', 'no_instructions', 'untuned') else 1
            scores = {task: task_scores(task, chance, templates, seed) for seed, task in enumerate(tasks)}
            sample = {
                'task': tasks[0], 'row': 3, 'template': 1, 'inputs': 'is <b>1</b> & 2\nright?', 'answers': ['Yes'], 'prediction': 'yes',
                'values': {'accuracy': 100.0},
            }  # fmt: skip
            skipped = {'broken': 'template 3 | names no field'} if cluster == 'nli' else {}
            result = results.make_result(
                scores, {task: (cluster, 'held_out_cluster') for task in tasks}, {task: WORDINGS for task in tasks}, run='r', system=system, held_out=cluster,
                removed=('paraphrase',) if cluster == 'nli' else (), trained={'math': ['m1', 'm2']} if system == 'tuned' else {},
                skipped=skipped, samples=(sample,) if system == 'tuned' else (),
                settings='TRAIN_STEPS = 5', parent='some.gin', departures=(('TRAIN_STEPS', '5', '250'),), environment={'device': '1 x cpu', 'jax': '0'}, seconds={'train': 60.0},
            )  # fmt: skip
            records = {task: list(answered(scored, templates > 1)) for task, scored in scores.items()}
            predictions.write(folder / cluster / system, records)
            results.save(folder / cluster / system, result, scores)
        lines = [json.dumps({'step': step, 'loss': 3 / step, 'accuracy': step / 20}) for step in range(1, 20)]
        (folder / cluster / 'tuned' / 'metrics.jsonl').write_text('\n'.join([*lines, '{"step": 20, "lo']))
