"""All results below a folder -> results.json (flat rows), report.md, and report.html: one file with its own
plots, light or dark.
"""

import math
import pathlib
from typing import Any, NamedTuple

import jinja2

from flanlite.report import figures, results, tables
from flanlite.report.results import HELD_IN, HELD_OUT, SYSTEMS
from flanlite.report.tables import Report, label

FOLDER = pathlib.Path(__file__).parent
LABEL_LENGTH = 17  # characters that fit beside a plot


class Plot(NamedTuple):
    """A plot with its heading, the metric it shows, and, where several share it without labels, the systems
    that it shows.
    """

    heading: str
    metric: str
    drawing: str
    systems: tuple[str, ...] = ()


def build(folder: str | pathlib.Path, title: str = '') -> Report:
    """Collect all results below a folder, and write its results.json, report.md and report.html.

    Args:
        folder: a run's or a sweep's folder; the results may come from several jobs.
        title: the report's heading; by default the run's name.

    Raises:
        ValueError: there is no result, or one is unreadable or of an earlier version.
    """
    folder = pathlib.Path(folder)
    report = tables.collect(folder, title)
    results.write_text(folder / 'results.json', results.to_json(report.rows()))
    results.write_text(folder / 'report.md', tables.markdown(report))
    results.write_text(folder / 'report.html', html_page(report))
    return report


def html_page(report: Report) -> str:
    """Return the whole page: `report.html`, filled."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(FOLDER),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters |= {'label': label, 'colour': colour}
    return environment.get_template('report.html').render(page(report))


def page(report: Report) -> dict[str, Any]:
    """Return the values that the page shows, by the names that `report.html` has for them."""
    sections = [(held_out, tables.task_rows(report.of(held_out))) for held_out in report.sections()]
    present = {result.system for result in report.results}
    return {
        'title': report.title,
        'first': report.results[0],
        'about': about(report),
        'overall': tables.overall(report),
        'only_clusters': tables.only_clusters(report),
        'hold_outs': [hold_out_card(report, held_out) for held_out in report.held_out()],
        'score_plots': hold_out_bars(report) if report.held_out() else task_bars(report),
        'systems': {system: described for system, described in SYSTEMS.items() if system in present},
        'colours': {label(system): colour(system) for system in present},
        'headline': (tables.HEADLINE_HEADINGS, tables.headline_rows(report)),
        'extra_tables': tables.extra_tables(report),
        'template_plots': template_boxes(report),
        'task_tables': [(held_out, tables.TASK_HEADINGS, rows) for held_out, rows in sections if rows],
        'curve_plots': training_curves(report),
        'questions': questions(report),
        'skipped': (tables.SKIPPED_HEADINGS, tables.skipped_rows(report)),
        'method': (*tables.METHOD, *tables.notes(report)),
    }


def colour(system: str) -> str:
    """Return the CSS class of a system's colour; a checkpoint that is none of `SYSTEMS` has the colour of the
    tuned one.
    """
    return f'm-{system if system in SYSTEMS else "tuned"}'


def about(report: Report) -> list[str]:
    """Return facts of the run: name, number of scores, time, device and versions."""
    first = report.results[0]
    seconds = sum(sum(result.seconds.values()) for result in report.results)
    facts = [
        f'run {first.run}',
        f'{len(report.rows()):,} scores',
        f'{seconds / 60:.1f} minutes of tuning and scoring',
    ]
    facts += [first.environment['device']] if 'device' in first.environment else []
    return facts + [
        f'{name} {first.environment[name]}' for name in ('flanlite', 'jax') if name in first.environment
    ]


def hold_out_card(report: Report, held_out: str) -> dict[str, Any]:
    """Return what left training with a hold-out, what stayed, and how the tuned model compares with its
    rivals.
    """
    systems = report.of(held_out)
    result = tables.trained_result(systems)
    tuned = systems['tuned'].groups.get(HELD_OUT) if 'tuned' in systems else None
    score = [figures.number(value) for value in (tuned.mean, tuned.low, tuned.high)] if tuned else []
    return {
        'name': held_out,
        'score': score,
        'verdict': tables.verdict(systems),
        'removed': result.removed,
        'trained': result.trained,
    }


def hold_out_bars(report: Report) -> list[Plot]:
    """Draw a plot for each hold-out, with a bar for each system."""
    plots = []
    for held_out in report.held_out():
        scored = {
            system: result for system, result in report.of(held_out).items() if HELD_OUT in result.groups
        }
        groups = {system: result.groups[HELD_OUT] for system, result in scored.items()}
        bars = [
            figures.Bar(colour(system), label(system), group.mean, group.low, group.high)
            for system, group in groups.items()
        ]
        metrics = dict.fromkeys(
            task.headline for result in scored.values() for task in result.tasks if task.level != HELD_IN
        )
        chance = groups['chance'].mean if 'chance' in groups else math.nan
        if bars:
            drawing = figures.bars(f'{held_out} held out: mean score of each system', bars, chance)
            plots.append(Plot(held_out, ', '.join(metrics), drawing))
    return plots


def task_bars(report: Report) -> list[Plot]:
    """Draw a plot for each metric, with a bar for each task, where nothing was held out."""
    plots = []
    for result in report.results:
        by_metric: dict[str, list[figures.Bar]] = {}
        for task in result.tasks:
            bar = figures.Bar(
                colour(result.system),
                shorten(task.task),
                task.summary.mean,
                task.summary.low,
                task.summary.high,
            )
            by_metric.setdefault(task.headline, []).append(bar)
        plots += [
            Plot(f'{label(result.system)} · {metric}', '', figures.bars(metric, bars))
            for metric, bars in by_metric.items()
        ]
    return plots


def shorten(name: str) -> str:
    """Shorten a label to what fits beside a plot."""
    return name if len(name) <= LABEL_LENGTH else name[: LABEL_LENGTH - 1] + '…'


def template_boxes(report: Report) -> list[Plot]:
    """Draw a plot for each data set, with a box over its templates for each system that reads templates."""
    plots = []
    for held_out in report.sections():
        systems = report.of(held_out)
        names = dict.fromkeys(
            task.task
            for result in systems.values()
            for task in result.tasks
            if not held_out or task.level != HELD_IN
        )
        for name in names:
            tasks = {
                system: task
                for system, result in systems.items()
                for task in result.tasks
                if task.task == name
            }
            boxes = []
            for system, task in tasks.items():
                scores = [(entry['template'], entry['scores'][task.headline]) for entry in task.templates]
                points = [
                    (f'template {template}', math.nan if score is None else score)
                    for template, score in scores
                ]
                if any(template is not None for template, _ in scores):
                    boxes.append(
                        figures.Box(
                            colour(system), label(system) if held_out else shorten(label(system)), points
                        )
                    )
            if boxes:
                headline = next(iter(tasks.values())).headline
                chance = tasks['chance'].summary.mean if 'chance' in tasks else math.nan
                plots.append(
                    Plot(name, headline, figures.boxes(f'{name}: {headline} over templates', boxes, chance))
                )
    return plots


def training_curves(report: Report) -> list[Plot]:
    """Draw loss and accuracy over the training steps, a plot for each hold-out."""
    plots = []
    for held_out in dict.fromkeys(held_out for held_out, _ in report.curves):
        systems = sorted(
            (system for other, system in report.curves if other == held_out), key=tables.system_order
        )
        trained = {system: report.curves[held_out, system] for system in systems}
        for metric in tables.CURVES:
            curves = [
                figures.Curve(colour(system), label(system), found[metric])
                for system, found in trained.items()
                if metric in found
            ]
            if drawing := figures.curves(f'{metric} over training steps', curves):
                heading = f'{held_out} held out · {metric}' if held_out else metric
                plots.append(Plot(heading, '', drawing, tuple(trained) if len(trained) > 1 else ()))
    return plots


def questions(report: Report) -> list[dict[str, Any]]:
    """Return the sample questions, each with the predictions of all systems that were asked it, by system."""
    asked: dict[tuple[str, str, int, int], dict[str, Any]] = {}
    for result in report.results:
        for sample in result.samples:
            key = (result.held_out or '', sample['task'], sample['row'], sample['template'])
            asked.setdefault(key, sample | {'predictions': {}})['predictions'][result.system] = sample[
                'prediction'
            ]
    return list(asked.values())
