"""The section of each data set on the page: its scores, templates, the confusion of its answers, how far the
probabilities can be trusted, and some of the questions with their answers.
"""

import html
import math
import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from flanlite.report import answers, figures, series, tables
from flanlite.report.answers import Answers, Key
from flanlite.report.collected import Report, label
from flanlite.report.figures import number
from flanlite.report.page import PageTable, colour, shorten
from flanlite.report.results import Result, TaskResult

PAGE_BYTES = 2_500_000  # of questions on a page, about
QUESTION_BYTES = 1_200  # of a question without its texts and options, about
OPTION_BYTES = 120  # of an option for each system, about
FEWEST = 4  # questions of a data set, where there are as many
INPUT_LENGTH, TEXT_LENGTH = 2_000, 300  # characters shown of an input; of an option, an answer
OPTIONS = 12  # shown of a question
CLASS_LENGTH = 22  # characters of an answer beside a matrix
CALIBRATION_HEADINGS = ['system', 'answers', 'right', 'mean probability', 'ECE', 'Brier score']


def sections(report: Report) -> list[dict[str, Any]]:
    """Return the values of each data set's section, in the order of the results. Points of a series that are
    drawn as curves have none but the last, as their data sets are the same.
    """
    alone = series.standing_alone(report)
    found = [
        section(report, held_out, task)
        for held_out in report.sections()
        if held_out is None or held_out in alone
        for task in dict.fromkeys(
            task.task for result in report.of(held_out).values() for task in result.tasks
        )
    ]
    share = min(1.0, PAGE_BYTES / max(1, sum(each['bytes'] for each in found)))
    for each in found:
        each['questions'] = evenly(each['questions'], max(FEWEST, int(share * len(each['questions']))))
    return found


def evenly(items: Sequence[Any], count: int) -> list[Any]:
    """Take at most some of a list, evenly."""
    count = min(count, len(items))
    return [items[int((place + 0.5) * len(items) / count)] for place in range(count)]


def anchor(held_out: str | None, task: str) -> str:
    """Name the place of a data set on the page."""
    name = f'{held_out}.{task}' if held_out else task
    plain = re.sub(r'[^\w.-]', '-', name)
    return plain if plain == name else f'{plain}-{zlib.crc32(name.encode()):08x}'


def anchors(report: Report, held_out: str | None) -> dict[str, str]:
    """Return the place of each data set with one thing held out, where it has a section."""
    if held_out is not None and held_out not in series.standing_alone(report):
        return {}
    tasks = (task.task for result in report.of(held_out).values() for task in result.tasks)
    return {task: anchor(held_out, task) for task in tasks}


def section(report: Report, held_out: str | None, name: str) -> dict[str, Any]:
    """Return the values of a data set's section."""
    scored = {
        system: (result, task)
        for system, result in report.of(held_out).items()
        for task in result.tasks
        if task.task == name
    }
    files = {
        system: report.predictions[held_out or '', system][name]
        for system in scored
        if name in report.predictions.get((held_out or '', system), {})
    }
    found = {system: answers.read(report.folder / file) for system, file in files.items()}
    asked = {system: each.questions for system, each in found.items() if each.questions}
    systems = list(asked) or list(sampled(scored, name))
    shown = questions(asked or sampled(scored, name), systems)
    first = next(iter(scored.values()))[1]
    return {
        'name': name,
        'anchor': anchor(held_out, name),
        'held_out': held_out,
        'facts': facts(first),
        'scores': scores(scored, name),
        'templates': templates(report, held_out, name),
        'confusions': [*confusions(found)],
        'by_place': any(each.by_place for each in found.values()),
        'reliability': reliability(name, found),
        'calibration': PageTable('Calibration', CALIBRATION_HEADINGS, calibration(found)),
        'questions': shown,
        'asked': max((found[system].asked for system in asked), default=0),
        'systems': [label(system) for system in systems],
        'files': {label(system): file for system, file in files.items()},
        'bytes': sum(each['bytes'] for each in shown),
    }


def facts(task: TaskResult) -> list[str]:
    """Return what is to be known of a data set before its scores."""
    found = [task.cluster] if task.cluster else []
    found += [task.level.replace('_', ' ')] if task.level else []
    how = {'rank': 'options are ranked', 'generate': 'answers are written'}.get(task.method)
    return [*found, f'metric {task.metric}', f'{task.num_rows:,} rows', *([how] if how else [])]


def scores(scored: Mapping[str, tuple[Result, TaskResult]], name: str) -> PageTable:
    """Return the table of a data set's scores."""
    results = {system: result for system, (result, _) in scored.items()}
    rows = [row for row in tables.task_rows(results) if row[0] == name]
    order = ['system', 'metric', *tables.SUMMARY_HEADINGS, tables.TASK_HEADINGS[-1]]
    places = [tables.TASK_HEADINGS.index(heading) for heading in order]
    return PageTable(f'Scores on {name}', order, [[row[place] for place in places] for row in rows])


def templates(report: Report, held_out: str | None, name: str) -> PageTable:
    """Return the table of a data set's templates with their scores."""
    headings, rows = tables.template_rows(report, held_out)
    own = [
        [index, cut(text, INPUT_LENGTH)[0], *values] for task, index, text, *values in rows if task == name
    ]
    return PageTable(f'Templates of {name}', headings[1:], own)


def confusions(found: Mapping[str, Answers]) -> Iterator[dict[str, Any]]:
    """Return which answers each system gives for which: for each right answer the counts of those given, each
    with its share of the row in percent. Rules have no questions, and none of these.
    """
    for system, each in found.items():
        if each.questions and len(each.classes) > 1:
            names = [shorten(name, CLASS_LENGTH) for name in each.classes]
            rows = [
                (names[place], place, [(count, round(100 * count / sum(counts))) for count in counts])
                for place, counts in enumerate(each.confusion.tolist())
                if sum(counts)
            ]
            yield {'system': label(system), 'classes': names, 'rows': rows}


def calibration(found: Mapping[str, Answers]) -> list[list[str]]:
    """Return a row for each system that gave probabilities: how they compare with how often it was right."""
    return [
        [
            label(system),
            f'{int(each.bins[:, 2].sum()):,}',
            f'{number(100 * float(each.bins[:, 1].sum() / each.bins[:, 2].sum()))}%',
            f'{number(each.confidence)}%',
            number(each.calibration_error),
            number(100 * each.brier),
        ]
        for system, each in found.items()
        if each.ranked
    ]


def reliability(name: str, found: Mapping[str, Answers]) -> str:
    """Draw how often answers of each probability are right; nothing where a data set has no options."""
    rows = [
        figures.Reliability(colour(system), label(system), bins[bins[:, 2] > 0])
        for system, each in found.items()
        for bins in [each.bins]
        if each.ranked
    ]
    return (
        figures.reliability(f'{name}: how often answers of each probability are right', rows) if rows else ''
    )


def sampled(
    scored: Mapping[str, tuple[Result, TaskResult]], name: str
) -> dict[str, dict[Key, Mapping[str, Any]]]:
    """Return the few questions that results hold themselves, where no predictions were kept."""
    found = {
        system: {
            Key(each['row'], each['template'], each['inputs'] or ''): each
            for each in result.samples
            if each['task'] == name
        }
        for system, (result, _) in scored.items()
    }
    return {system: each for system, each in found.items() if each}


def cut(text: str, length: int) -> tuple[str, int]:
    """Cut a text, and return how many characters were lost."""
    return (text, 0) if len(text) <= length else (text[:length], len(text) - length)


def short(text: str) -> str:
    """Cut a text, and say so."""
    kept, lost = cut(text, TEXT_LENGTH)
    return f'{kept}… ({lost:,} more characters)' if lost else kept


def questions(
    asked: Mapping[str, Mapping[Key, Mapping[str, Any]]], systems: Sequence[str]
) -> list[dict[str, Any]]:
    """Return the questions of a data set, each with the answers of all systems that were asked it."""
    keys = dict.fromkeys(key for each in asked.values() for key in each)
    found = []
    for key in sorted(keys, key=lambda key: (key.row, -1 if key.template is None else key.template)):
        said = {system: asked[system][key] for system in systems if key in asked[system]}
        record = next(iter(said.values()))
        places = {system: f's{systems.index(system)}' for system in said}
        right = {system: answers.is_right(each) for system, each in said.items()}
        inputs, lost = cut(key.inputs, INPUT_LENGTH)
        options, left_out = options_of(said)
        shown = {
            'row': key.row,
            'template': '' if key.template is None else key.template,
            'inputs': inputs,
            'lost': lost,
            'answers': [short(text) for text in answers.told_answers(record)[:OPTIONS]],
            'said': [
                {'system': system, 'text': said_text(each), 'right': right[system], 'values': values_of(each)}
                for system, each in said.items()
            ],
            'ranked': [system for system, each in said.items() if answers.probabilities_of(each)],
            'options': options,
            'left_out': left_out,
            'right': ' '.join(places[system] for system in said if right[system]),
            'wrong': ' '.join(places[system] for system in said if not right[system]),
        }
        texts = [inputs, *shown['answers'], *(each['text'] for each in options)]
        size = sum(len(html.escape(text).encode(errors='replace')) for text in texts)
        shown['bytes'] = size + QUESTION_BYTES + OPTION_BYTES * len(options) * (1 + len(said))
        found.append(shown)
    return found


def said_text(record: Mapping[str, Any]) -> str:
    """Return what a system said, with what is scored of it where that is not all."""
    said = record['prediction']
    if said is None:
        return f'(log-probability of the target: {record["score"]:.3f})' if 'score' in record else '–'
    if 'extracted' in record:
        return f'{short(said)} → {short(record["extracted"])}'
    return short(said)


def values_of(record: Mapping[str, Any]) -> str:
    """Write the scores of one answer, where they are more than right or wrong."""
    values = record.get('values') or {}
    graded = any(value not in (0, 100) for value in values.values() if value is not None)
    scored = ((name, math.nan if value is None else value) for name, value in values.items())
    return ', '.join(f'{name} {number(value)}' for name, value in scored) if graded else ''


def options_of(said: Mapping[str, Mapping[str, Any]]) -> tuple[list[dict[str, Any]], int]:
    """Return the options of a question, each with its probability and log-probability for each system, and
    how many are not shown: of many, those that are right or chosen come first, then the most probable.
    """
    record = next(iter(said.values()))
    texts, right = list(record.get('options', ())), answers.right_answers(record)
    probabilities = {system: p for system, each in said.items() if (p := answers.probabilities_of(each))}
    chosen = {
        system: int(np.argmax(p)) for system, p in probabilities.items()
    }  # the first of those that score the same, as in ranking
    if not probabilities or any(len(p) != len(texts) for p in probabilities.values()):
        return [], 0

    def worth(place: int) -> tuple[bool, float]:
        told = texts[place] in right or place in chosen.values()
        return told, max(p[place] for p in probabilities.values())

    kept = sorted(sorted(range(len(texts)), key=worth, reverse=True)[:OPTIONS])
    rows = [
        {
            'text': short(texts[place]),
            'right': texts[place] in right,
            'by': [
                {
                    'chosen': chosen[system] == place,
                    'probability': f'{100 * p[place]:.1f}%',
                    'score': f'{said[system]["scores"][place]:.2f}',
                }
                for system, p in probabilities.items()
            ],
        }
        for place in kept
    ]
    return rows, len(texts) - len(kept)
