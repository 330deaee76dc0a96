"""All results below a folder -> results.json (flat rows), report.md, report.tex, report.csv, and report.html:
one file with its own plots, light or dark.
"""

import math
import pathlib
from typing import Any

from flanlite.report import (
    collected,
    comparisons,
    conflict,
    costs,
    data_sets,
    figures,
    flat,
    latex,
    markdown,
    page,
    results,
    robustness,
    series,
    settings,
    tables,
)
from flanlite.report.collected import Report, label
from flanlite.report.page import PageTable, Plot, colour, named
from flanlite.report.results import HELD_IN, HELD_OUT, SYSTEMS, TaskResult


def build(folder: str | pathlib.Path, title: str = '') -> Report:
    """Collect all results below a folder, and write its results.json, report.md, report.tex, report.csv and
    report.html.

    Args:
        folder: a run's or a sweep's folder; the results may come from several jobs.
        title: the report's heading; by default the run's name.

    Raises:
        ValueError: there is no result, or one is unreadable or of an earlier version.
    """
    folder = pathlib.Path(folder)
    report = collected.collect(folder, title)
    found = conflict.collect(folder, report)
    texts = {
        'results.json': results.to_json(report.rows()),
        'report.csv': flat.csv_text(report.rows()),
        'report.md': markdown.text(report),
        'report.tex': latex.latex(report),
        'report.html': html_page(report, found),
    }
    if found is not None:
        texts['conflict.json'] = results.to_json(conflict.rows(found))
    results.write_texts(folder, texts)
    return report


def html_page(report: Report, found: conflict.Conflict | None = None) -> str:
    """Return the whole page: `report.html`, filled; with what was found of task conflict, if that was looked
    for.
    """
    return page.render('report.html', values(report, found))


def values(report: Report, found: conflict.Conflict | None) -> dict[str, Any]:
    """Return the values that the page shows, by the names that `report.html` has for them."""
    present = {result.system for result in report.results}
    first = report.results[0]
    return {
        'title': report.title,
        'first': first,
        'about': about(report),
        'overall': comparisons.overall(report),
        'only_clusters': comparisons.only_clusters(report),
        'hold_outs': [hold_out_card(report, held_out) for held_out in series.standing_alone(report)],
        'score_plots': hold_out_bars(report) if report.held_out() else task_bars(report),
        'systems': {system: described for system, described in SYSTEMS.items() if system in present},
        'colours': {label(system): colour(system) for system in present},
        'headline': PageTable(
            'Scores on what was held out', tables.HEADLINE_HEADINGS, tables.headline_rows(report), 1
        ),
        'series_plots': series_curves(report),
        'seed_caption': tables.SEEDS,
        'seed_plots': seed_boxes(report),
        'extra_tables': [PageTable(*table, 1) for table in tables.extra_tables(report)],
        'template_plots': template_boxes(report),
        'task_tables': [table for held_out in report.sections() for table in task_tables(report, held_out)],
        'data_sets': data_sets.sections(report),
        'curve_plots': training_curves(report),
        'conflict': conflict_section(found) if found else None,
        'robustness': robustness.find(report.folder),
        'predictions': PageTable(
            tables.PREDICTIONS, tables.PREDICTION_HEADINGS, tables.prediction_rows(report), 1
        ),
        'costs': PageTable('Costs', costs.COST_HEADINGS, costs.cost_rows(report), 1),
        'left_out': PageTable(
            'Held out, removed, skipped', tables.LEFT_OUT_HEADINGS, tables.left_out_rows(report), 1
        ),
        'method': tables.method(report),
        'environment': PageTable('Environment', ('what', 'which'), list(first.environment.items())),
        'changed': PageTable(
            'Settings that differ from their defaults',
            ('setting', 'value', 'default'),
            settings.changed(first.settings),
        ),
        'departures': PageTable(
            f'Settings that differ from {first.parent}',
            ('setting', 'value', f'in {first.parent}'),
            first.departures,
        ),
    }


def conflict_section(found: conflict.Conflict) -> dict[str, Any]:
    """Return the values of the section on task conflict, its plots and tables as those of the others."""
    values = conflict.section(found)
    correlated = PageTable(
        'Correlation of cosine and gain', conflict.CORRELATION_HEADINGS, values['correlations']
    )
    modules = PageTable(
        f'Cosines at step {values["step"]}, by module and layer',
        conflict.MODULE_HEADINGS,
        values['modules'],
        1,
    )
    scattered = [Plot('Cosine and gain', 'a point is a pair of clusters', values['scatter'])]
    return values | {
        'correlations': correlated,
        'modules': modules,
        'curves': [
            Plot(heading, 'mean cosines over training', drawing) for heading, drawing in values['curves']
        ],
        'scatter': scattered if values['scatter'] else [],
    }


def task_tables(report: Report, held_out: str | None) -> list[PageTable]:
    """Return the table of all data sets with one thing held out; without what all rows share, where only one
    system was scored.
    """
    systems, headings = report.of(held_out), list(tables.TASK_HEADINGS)
    rows = tables.task_rows(systems)
    caption, links = named('Every data set', held_out), data_sets.anchors(report, held_out)
    if len(systems) > 1:
        return [PageTable(caption, headings, rows, headings.index('system'), links)]
    kept = [place for place, heading in enumerate(headings) if heading not in ('system', 'level')]
    columns = [headings[at] for at in kept]
    table = PageTable(caption, columns, [[row[at] for at in kept] for row in rows], links=links)
    return [table] if rows else []


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
        'verdict': comparisons.verdict(report, held_out),
        'removed': result.removed,
        'tasks': len(result.trained_tasks),
        'trained': {cluster: result.trained[cluster] for cluster in result.trained_clusters},
    }


def hold_out_bars(report: Report) -> list[Plot]:
    """Draw a plot for each hold-out, with a bar for each system."""
    plots = []
    for held_out in series.standing_alone(report):
        scored = {
            system: result for system, result in report.of(held_out).items() if HELD_OUT in result.groups
        }
        groups = {system: result.groups[HELD_OUT] for system, result in scored.items()}
        names = page.shortened([label(system) for system in groups])
        bars = [
            figures.Bar(colour(system), names[label(system)], group.mean, group.low, group.high)
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


def series_curves(report: Report) -> list[Plot]:
    """Draw the score on what is held out by how much was tuned on: a plot for each series, over all and over
    each cluster, with the systems that were not tuned beside it.
    """
    plots = []
    for found in series.find(report):
        clusters = series.clusters_of(found)
        for cluster in (None, *clusters) if len(clusters) > 1 else (None,):
            points = list(series.summaries(report, found, cluster))
            drawn = [
                figures.Curve(
                    colour('tuned'),
                    label('tuned'),
                    [(number, each.mean) for number, each in points],
                    [(each.low, each.high) for _, each in points],
                )
            ]
            ends = [points[0][0], points[-1][0]]
            for system in ('untuned', 'majority'):
                rival = report.of(found.held_out).get(system)
                if rival and (level := series.summary(report, rival, cluster)):
                    flat = [(end, level.mean) for end in ends]
                    drawn.append(figures.Curve(colour(system), label(system), flat))
            over = f'{found.held_out} held out' if cluster is None else cluster
            title = f'{over}: score by {found.kind} tuned on'
            kind = 'exemplars' if found.kind == 'exemplars' else f'{found.kind} tuned on'
            plots.append(Plot(over, kind, figures.curves(title, drawn, 0.0, 100.0, kind)))
    return plots


def seed_boxes(report: Report) -> list[Plot]:
    """Draw the scores of the seeds of each system that was tuned with several: a plot for each hold-out that
    stands alone, with a dot for each seed.
    """
    plots = []
    for held_out in series.standing_alone(report):
        boxes = [
            figures.Box(
                colour(system),
                page.shorten(label(system)),
                [(f'seed {each.seed}', each.groups[HELD_OUT].mean, '') for each in found],
            )
            for system in report.of(held_out)
            for found in [
                [each for each in report.by_seed.get((held_out, system), ()) if HELD_OUT in each.groups]
            ]
            if len(found) > 1
        ]
        if boxes:
            plots.append(
                Plot(held_out, 'a dot is a seed', figures.boxes(f'{held_out}: score of each seed', boxes))
            )
    return plots


def task_bars(report: Report) -> list[Plot]:
    """Draw a plot for each metric, with a bar for each task, where nothing was held out."""
    plots = []
    for result in report.results:
        by_metric: dict[tuple[str, bool], list[figures.Bar]] = {}
        names = page.shortened([task.task for task in result.tasks])
        for task in result.tasks:
            bar = figures.Bar(
                colour(result.system),
                names[task.task],
                task.summary.mean,
                task.summary.low,
                task.summary.high,
            )
            by_metric.setdefault((task.headline, task.percent), []).append(bar)
        plots += [
            Plot(
                label(result.system),
                metric if percent else f'{metric}, in its own units',
                figures.bars(metric, bars, percent=percent),
            )
            for (metric, percent), bars in by_metric.items()
        ]
    return plots


def template_boxes(report: Report) -> list[Plot]:
    """Draw boxes over templates: a plot for each data set with a box for each system that reads templates, or
    of one system a plot for each metric with a box for each data set.
    """
    plots = []
    for held_out in report.sections():
        systems = report.of(held_out)
        labels = page.shortened([label(system) for system in systems])
        rows: dict[tuple[str, str, bool], list[figures.Box]] = {}
        for system, result in systems.items():
            names = page.shortened([task.task for task in result.tasks])
            for task in result.tasks:
                read = any(entry['template'] is not None for entry in task.templates)
                if read and not (held_out and task.level == HELD_IN):
                    alone = len(systems) == 1
                    heading = label(system) if alone else task.task
                    name = names[task.task] if alone else labels[label(system)]
                    box = figures.Box(colour(system), name, template_points(task))
                    rows.setdefault((heading, task.headline, task.percent), []).append(box)
        chances = (
            {task.task: task.summary.mean for task in systems['chance'].tasks} if 'chance' in systems else {}
        )
        for (heading, metric, percent), boxes in rows.items():
            chance = chances.get(heading, math.nan)
            title = f'{heading}: {metric} over templates'
            plots.append(Plot(heading, metric, figures.boxes(title, boxes, chance, percent)))
    return plots


def template_points(task: TaskResult) -> list[tuple[str, float, str]]:
    """Return the name, headline score and wording of each template of a task."""
    scores = [entry['scores'][task.headline] for entry in task.templates]
    return [
        (f'template {entry["template"]}', math.nan if score is None else score, entry.get('text', ''))
        for entry, score in zip(task.templates, scores, strict=True)
    ]


def training_curves(report: Report) -> list[Plot]:
    """Draw loss and accuracy over the training steps, a plot for each hold-out."""
    plots = []
    ends = {
        metric: [
            value
            for found in report.curves.values()
            for _, value in found.get(metric, ())
            if math.isfinite(value)
        ]
        for metric in collected.CURVES
    }
    for held_out in dict.fromkeys(held_out for held_out, _ in report.curves):
        systems = sorted(
            (system for other, system in report.curves if other == held_out), key=collected.system_order
        )
        trained = {system: report.curves[held_out, system] for system in systems}
        for metric in collected.CURVES:
            curves = [
                figures.Curve(colour(system), label(system), found[metric])
                for system, found in trained.items()
                if metric in found
            ]
            # From 0, as accuracy is a share; plots of a metric have the same axis.
            high = 1.0 if metric == 'accuracy' else max(ends[metric], default=1.0)
            if drawing := figures.curves(f'{metric} over training steps', curves, 0.0, high):
                plots.append(Plot(f'{held_out} held out' if held_out else 'training', metric, drawing))
    return plots
