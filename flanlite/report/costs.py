"""What tuning and scoring took and computed, as a table."""

from collections.abc import Mapping, Sequence

from flanlite.report.collected import Report, label

# What results count, in the order of the columns; `eval.costs` says how.
STEPS, TRAIN_TOKENS, TRAIN_FLOPS = 'train_steps', 'train_tokens', 'train_flops'
QUESTIONS, SCORE_TOKENS, SCORE_FLOPS = 'questions', 'score_tokens', 'score_flops'
COUNTS = (STEPS, TRAIN_TOKENS, TRAIN_FLOPS, QUESTIONS, SCORE_TOKENS, SCORE_FLOPS)
COST_HEADINGS = [
    'held out', 'system', 'tuning', 'steps', 'tokens', 'FLOPs', 'scoring', 'questions',
    'tokens of scoring', 'FLOPs of scoring',
]  # fmt: skip


def cost_rows(report: Report) -> list[list[str]]:
    """Return a row for each result: the time that tuning and scoring took, and what they computed, of all
    seeds together; then all results together.
    """
    rows = [
        [result.held_out or '', label(result.system), *cost_cells([result.seconds], [result.costs])]
        for result in report.results
    ]
    if len(rows) > 1:
        every = [each.seconds for each in report.results], [each.costs for each in report.results]
        rows.append(['all', 'together', *cost_cells(*every)])
    return rows


def cost_cells(seconds: Sequence[Mapping[str, float]], costs: Sequence[Mapping[str, float]]) -> list[str]:
    """Return the cells of what results took and computed together, as `COST_HEADINGS` names them."""
    tuning, scoring = (sum(each.get(what, 0.0) for each in seconds) for what in ('train', 'score'))
    counts = [sum(each.get(name, 0.0) for each in costs) for name in COUNTS]
    shown = [
        (f'{count:.2e}' if name in (TRAIN_FLOPS, SCORE_FLOPS) else f'{count:,.0f}') if count else '–'
        for name, count in zip(COUNTS, counts, strict=True)
    ]
    return [seconds_text(tuning), *shown[:3], seconds_text(scoring), *shown[3:]]


def seconds_text(seconds: float) -> str:
    """Write a time in seconds, which sorts as a number; a dash where there was none."""
    return f'{seconds:,.1f} s' if seconds else '–'
