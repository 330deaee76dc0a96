"""All pieces below a folder -> results.json (flat rows), report.md, and report.html: one file with its own plots, light or dark."""

import html
import math
import pathlib
from collections.abc import Iterable, Mapping, Sequence

from flanlite.report import figures, results, tables
from flanlite.report.results import HELD_IN, HELD_OUT, MODELS, Piece
from flanlite.report.tables import Report, label

STYLE_SHEET = pathlib.Path(__file__).with_name('report.css')


def build(folder: str | pathlib.Path, title: str = '') -> Report:
    """Merge all pieces below a folder into its results.json, report.md and report.html.

    Args:
        folder: a run's folder; the pieces may come from several jobs.
        title: the report's heading; by default the run's name.

    Raises:
        ValueError: there is no piece, or one is unreadable.
    """
    folder = pathlib.Path(folder)
    report = tables.collect(folder, title)
    results.write_text(folder / 'results.json', results.to_json(report.rows()))
    results.write_text(folder / 'report.md', tables.markdown(report))
    results.write_text(folder / 'report.html', html_page(report))
    return report


def html_page(report: Report) -> str:
    """Write the whole page."""
    sections = [header(report)]
    if report.held_out():
        sections += [held_out_cards(report), held_out_plots(report), headline_table(report), *extra_tables(report)]
    else:
        sections += [task_bars(report)]
    sections += [template_plots(report), task_tables(report), training_curves(report), samples(report), skipped(report), method(report)]
    title = html.escape(report.title)
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<title>{title}</title>\n<style>\n{STYLE_SHEET.read_text(encoding="utf-8")}</style>\n</head>\n<body>\n<main>\n{"".join(sections)}\n</main>\n</body>\n</html>\n'
    )


def section(heading: str, *parts: str) -> str:
    """Write a section, or nothing where all its parts are empty."""
    return f'\n<section>\n<h2>{html.escape(heading)}</h2>\n{"".join(parts)}\n</section>' if any(parts) else ''


def paragraph(sentence: str, kind: str = 'soft') -> str:
    """Write a paragraph."""
    return f'<p class="{kind}">{html.escape(sentence)}</p>'


def card(*parts: str) -> str:
    """Write a card."""
    return f'<div class="card">{"".join(parts)}</div>'


def grid(cards: Iterable[str]) -> str:
    """Set cards side by side, as many as fit; nothing without cards."""
    joined = '\n'.join(cards)
    return f'<div class="grid">\n{joined}\n</div>' if joined else ''


def colour(model: str) -> str:
    """Return a model's CSS class; a checkpoint that is none of the compared models has the tuned one's colour."""
    return f'm-{model if model in MODELS else "tuned"}'


def swatch(model: str) -> str:
    """Draw a model's colour."""
    return f'<span class="swatch {colour(model)}"></span>'


def html_table(headings: Sequence[str], rows: Sequence[Sequence[str]], models: Mapping[str, str] | None = None) -> str:
    """Write a table in a card; equal cells below each other are written once, and a model's name gets its colour."""
    head = ''.join(f'<th>{html.escape(heading)}</th>' for heading in headings)
    body, above = [], ['\x00'] * len(headings)
    for row in rows:
        cells = []
        for index, cell in enumerate(row):
            repeated = index < 2 and row[: index + 1] == above[: index + 1] and headings[index] in ('held out', 'data set', 'level')
            mark = swatch(models[cell]) if models and headings[index] == 'model' and cell in models else ''
            kind = ' class="text"' if headings[index] == 'reason' else ''
            cells.append(f'<td{kind}>{"" if repeated else mark + html.escape(cell)}</td>')
        body.append(f'<tr class="{"" if row[0] == above[0] else "first"}">{"".join(cells)}</tr>')
        above = list(row)
    return f'<div class="card wide"><table><thead><tr>{head}</tr></thead><tbody>{"".join(body)}</tbody></table></div>'


def header(report: Report) -> str:
    """Open the page: title, and what was done."""
    first = report.pieces[0]
    clusters = report.held_out()
    if clusters:
        kind = 'without having seen its kind of task' if tables.only_clusters(report) else 'which they had not seen'
        lead = (
            f'Leave one {"cluster" if tables.only_clusters(report) else "split"} out. Each one below was kept out of instruction tuning, '
            f'together with the clusters that overlap with it; the models then answered its {first.split} data, {kind}.'
        )
    else:
        lead = f'{label(first.model)} on {first.split} data, each data set with each of its templates.'
    seconds = sum(piece.seconds.get(part, 0.0) for piece in report.pieces for part in piece.seconds)
    about = [f'run {first.run}', f'{len(report.rows()):,} scores', f'{seconds / 60:.1f} minutes of tuning and scoring']
    about += [first.environment['device']] if 'device' in first.environment else []
    about += [f'{name} {first.environment[name]}' for name in ('flanlite', 'jax') if name in first.environment]
    lead = ' '.join([lead, *tables.overall(report)])
    return f'<header><h1>{html.escape(report.title)}</h1>{paragraph(lead, "")}{paragraph(" · ".join(about), "meta")}</header>'


def held_out_cards(report: Report) -> str:
    """Say for each cluster what left training with it, and how the tuned model did."""
    cards = []
    for cluster in report.held_out():
        models = report.of(cluster)
        described = next((piece for piece in models.values() if piece.trained), next(iter(models.values())))
        parts = [f'<h3>{html.escape(cluster)}</h3>']
        if 'tuned' in models and HELD_OUT in models['tuned'].groups:
            summary = models['tuned'].groups[HELD_OUT]
            mean, low, high = (figures.number(value) for value in (summary.mean, summary.low, summary.high))
            parts.append(f'<div class="score"><b class="m-tuned">{mean}</b><span>{low} to {high}</span></div>')
        parts += [comparison(said) for said in tables.verdict(models)]
        gone = ''.join(f'<span class="tag gone">{html.escape(name)}</span>' for name in (cluster, *described.removed))
        why = 'Held out, and removed with it because they overlap' if described.removed else 'Held out; nothing else had to be removed'
        parts.append(f'<p class="soft">{why}:<br>{gone}</p>')
        if described.trained:
            data_sets = sum(len(names) for names in described.trained.values())
            stayed = ''.join(
                f'<span class="tag" title="{html.escape(", ".join(names))}">{html.escape(name)}</span>'
                for name, names in described.trained.items()
            )
            parts.append(f'<p class="soft">Tuned on {data_sets} data sets of {len(described.trained)} clusters:<br>{stayed}</p>')
        cards.append(card(*parts))
    return section('What was held out', grid(cards))


def comparison(said: tables.Comparison) -> str:
    """Write how the tuned model compares with a rival."""
    good = ' yes' if said.apart and said.gain >= 0 else ''
    tag = f'<span class="tag{good}">intervals {"apart" if said.apart else "overlap"}</span>'
    return f'<p>{html.escape(said.sentence())} {tag}</p>'


def held_out_plots(report: Report) -> str:
    """Draw a bar for each model on each held-out cluster."""
    cards = []
    for cluster in report.held_out():
        models = {model: piece for model, piece in report.of(cluster).items() if HELD_OUT in piece.groups}
        rows = [
            figures.Bar(colour(model), label(model), group.mean, group.low, group.high)
            for model, group in ((model, piece.groups[HELD_OUT]) for model, piece in models.items())
        ]
        if rows:
            measured = dict.fromkeys(task.headline for piece in models.values() for task in piece.tasks if task.level != HELD_IN)
            plot = figures.bars(f'{cluster} held out: mean score of each model', rows, chance_of(models))
            cards.append(card(f'<h3>{html.escape(cluster)} <span class="soft">· {html.escape(", ".join(measured))}</span></h3>', plot))
    legend = ''.join(
        f'<li>{swatch(model)}<span><b>{html.escape(name)}</b>: {html.escape(meaning)}</span></li>'
        for model, (name, meaning) in MODELS.items() if any(piece.model == model for piece in report.pieces)
    )  # fmt: skip
    caption = paragraph('Mean over templates and data sets; the line through each bar\'s end is the 95% interval.')
    return section('Scores on what was held out', caption, grid(cards), f'<ul class="legend">{legend}</ul>')


def chance_of(models: Mapping[str, Piece]) -> float:
    """Return chance's mean on the held-out cluster, nan where it has none."""
    return models['chance'].groups[HELD_OUT].mean if 'chance' in models and HELD_OUT in models['chance'].groups else math.nan


def model_colours(report: Report) -> dict[str, str]:
    """Map the models' labels back to their names."""
    return {label(piece.model): piece.model for piece in report.pieces}


def headline_table(report: Report) -> str:
    """Write the headline table."""
    rows = tables.headline_rows(report)
    return html_table(['held out', 'model', *tables.SUMMARY_HEADINGS], rows, model_colours(report)) if rows else ''


def extra_tables(report: Report) -> list[str]:
    """Write the tables that only some sweeps have."""
    colours = model_colours(report)
    return [section(heading, html_table(headings, rows, colours)) for heading, headings, rows in tables.extra_tables(report)]


def task_bars(report: Report) -> str:
    """Draw a bar for each task where nothing was held out."""
    cards = []
    for piece in report.pieces:
        by_metric: dict[str, list[figures.Bar]] = {}
        for task in piece.tasks:
            summary = task.summary
            bar = figures.Bar(colour(piece.model), shorten(task.task), summary.mean, summary.low, summary.high)
            by_metric.setdefault(task.headline, []).append(bar)
        for metric, rows in by_metric.items():
            cards.append(card(f'<h3>{html.escape(label(piece.model))} · {html.escape(metric)}</h3>', figures.bars(metric, rows)))
    return section('Scores', grid(cards))


def shorten(name: str, length: int = 17) -> str:
    """Shorten a label to what fits beside a plot."""
    return name if len(name) <= length else name[: length - 1] + '…'


def template_plots(report: Report) -> str:
    """Draw each data set's scores over its templates, a box for each model that reads templates."""
    cards = []
    for cluster in dict.fromkeys(piece.held_out_cluster for piece in report.pieces):
        models = report.of(cluster)
        names = dict.fromkeys(task.task for piece in models.values() for task in piece.tasks if not cluster or task.level != HELD_IN)
        for name in names:
            found = {model: task for model, piece in models.items() for task in piece.tasks if task.task == name}
            rows = []
            for model, task in found.items():
                points = [(f'template {entry["template"]}', entry['scores'][task.headline]) for entry in task.templates]
                if any(entry['template'] is not None for entry in task.templates):
                    values = [(place, math.nan if value is None else value) for place, value in points]
                    rows.append(figures.Box(colour(model), label(model) if cluster else shorten(label(model)), values))
            if rows:
                headline = next(iter(found.values())).headline
                chance = found['chance'].summary.mean if 'chance' in found else math.nan
                title = f'<h3>{html.escape(name)} <span class="soft">· {html.escape(headline)}</span></h3>'
                cards.append(card(title, figures.boxes(f'{name}: {headline} over templates', rows, chance)))
    caption = paragraph('A dot is a template; box: quartiles; line and number: median; whiskers: extremes; dashed: chance or copy.')
    return section('How much the wording matters', caption, grid(cards)) if cards else ''


def task_tables(report: Report) -> str:
    """Write every data set's numbers, folded away."""
    parts = []
    for cluster in dict.fromkeys(piece.held_out_cluster for piece in report.pieces):
        rows = tables.task_rows(report.of(cluster))
        if rows:
            heading = f'with {cluster} held out' if cluster else 'all data sets'
            table = html_table(tables.TASK_HEADINGS, rows, model_colours(report))
            shown = '' if cluster else ' open'
            parts.append(f'<details{shown}><summary>{html.escape(heading)}: {len(rows)} rows</summary>{table}</details>')
    return section('Every data set', *parts)


def training_curves(report: Report) -> str:
    """Draw loss and accuracy over the steps of what was trained."""
    cards = []
    for cluster in dict.fromkeys(cluster for cluster, _ in report.curves):
        there = sorted((model for other, model in report.curves if other == cluster), key=tables.model_order)
        trained = {model: report.curves[cluster, model] for model in there}
        for metric in tables.CURVES:
            rows = [figures.Curve(colour(model), label(model), curves[metric]) for model, curves in trained.items() if metric in curves]
            plot = figures.curves(f'{metric} over training steps', rows) if rows else ''
            if plot:
                names = ''.join(f' <span class="tag">{swatch(model)} {html.escape(label(model))}</span>' for model in trained)
                heading = f'{cluster} held out · {metric}' if cluster else metric
                cards.append(card(f'<h3>{html.escape(heading)}</h3>{names if len(trained) > 1 else ""}', plot))
    return section('Training', grid(cards))


def samples(report: Report) -> str:
    """Show a few questions with what the models answered."""
    questions: dict[tuple[str, str, int, int], dict[str, object]] = {}
    for piece in report.pieces:
        for sample in piece.samples:
            key = (piece.held_out_cluster or '', sample['task'], sample['row'], sample['template'])
            questions.setdefault(key, {'sample': sample, 'answers': {}})['answers'][piece.model] = sample['prediction']
    cards = []
    for (_, task, row, template), question in questions.items():
        sample, answers = question['sample'], question['answers']
        lines = ''.join(
            f'<div class="answer">{swatch(model)}<b>{html.escape(label(model))}</b><span>{html.escape(answer)}'
            f'{" ✓" if answer.strip() in sample["answers"] else ""}</span></div>'
            for model, answer in answers.items()
        )
        right = f'<div class="answer"><b>Right answer</b><span>{html.escape(" | ".join(sample["answers"]))}</span></div>'
        title = f'<h3>{html.escape(task)} <span class="soft">· row {row}, template {template}</span></h3>'
        cards.append(card(title, f'<pre>{html.escape(sample["inputs"])}</pre><div class="answers">{right}{lines}</div>'))
    return section('What the models were asked, and answered', grid(cards))


def skipped(report: Report) -> str:
    """List what gave no score, and why."""
    rows = tables.skipped_rows(report)
    if not rows:
        return section('Skipped', paragraph('Nothing was skipped.'))
    return section('Skipped', html_table(['held out', 'data set', 'models', 'reason'], rows))


def method(report: Report) -> str:
    """Close the page: how the numbers were made, environment, configuration."""
    sentences = ''.join(paragraph(sentence) for sentence in (*tables.METHOD, *tables.notes(report)))
    first = report.pieces[0]
    environment = html_table(['environment', ''], [list(entry) for entry in first.environment.items()]) if first.environment else ''
    settings = f'<details><summary>Configuration in force</summary>{card(f"<pre>{html.escape(first.settings.strip())}</pre>")}</details>'
    return section('How the numbers were made', sentences, environment, settings if first.settings else '')
