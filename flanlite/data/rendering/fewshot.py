"""Few-shot inputs: other examples of the data set come before an example, as many as a budget of tokens holds
(FLAN, section 4.4).
"""

import dataclasses
import functools
import heapq
import random
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, NamedTuple

import numpy as np

from flanlite.config import value
from flanlite.data.rendering.asking import Asking
from flanlite.data.specs import templates
from flanlite.data.specs.specs import FewShot
from flanlite.data.specs.templates import Template
from flanlite.data.tokens.vocabulary import Vocabulary
from flanlite.limits import Count, Seed, one_of, whole

MULTI = 'multi'  # as many exemplars as fit, up to MOST
MOST = 16
BUDGET = 960  # FLAN's: rows of 1,024 less 64
READ = 30_000  # exemplars are drawn from this many training rows: FLAN's cap
POOL = 5_000  # of these, this many random rows are kept in memory
SPARE = 50  # rows drawn in addition, since some may be the example itself, or equal to it
ShotsNumber = Annotated[int, whole(0, POOL - SPARE)] | Annotated[str, one_of(MULTI)]


class Form(NamedTuple):
    """Texts that join exemplars and the example, with places for inputs and targets."""

    exemplar: str  # one exemplar
    example: str  # the example after exemplars
    alone: str  # the example without exemplars


# What FLAN 2022's few-shot templates set around exemplars: before questions and answers, between the two, and
# behind each exemplar.
LABELS = (
    ('', ''), ('', 'A: '), ('', 'Answer: '), ('Q: ', 'A: '), ('Question: ', 'Answer: '),
    ('question: ', 'answer: '), ('Problem: ', 'Answer: '), ('Problem: ', 'Solution: '),
    ('Input: ', 'Output: '), ('[Q] ', '[A] '), ('Question:\n', 'Answer:\n'),
)  # fmt: skip
BETWEEN = (*['\n'] * 5, *['\n\n'] * 3, '\n--\n', '\n****\n', '\n=====\n')
BEHIND = (*['\n\n'] * 5, *['\n\n\n'] * 4, '\n----\n', '\n\n\n\n')
FORMS = {
    'plain': Form('Question: {inputs}\nAnswer: {targets}\n\n', 'Question: {inputs}\nAnswer:', '{inputs}'),
    # The release's roles and separator.
    'flan': Form('0 {inputs} X 1 {targets} X ', '0 {inputs} X 1 FLAN', '0 {inputs} X 1 FLAN'),
}


@functools.lru_cache(2_048)  # an example's is needed again and again
def drawn_form(key: str) -> Form:
    """Draw the texts that join exemplars and example; a key decides which."""
    draw = random.Random(key)
    (question, answer), between = draw.choice(LABELS), draw.choice(BETWEEN)
    behind = draw.choice([each for each in BEHIND if each != between])
    example = f'{question}{{inputs}}{between}{answer}'
    return Form(f'{example}{{targets}}{behind}', example.rstrip(' '), '{inputs}')


@value
class Shots:
    """Settings of few-shot inputs: the number of exemplars before an example, and their form.

    Args:
        number: the number of exemplars: in FLAN 0, 1, 2, 3, 5, 10, or `multi` for as many as fit, up to 16;
            by default none, or as many as a benchmark asks with.
        budget: the greatest number of tokens of exemplars and example together. By default it is the length
            of the inputs, which it never exceeds; where that is not known either, FLAN's 960.
        seed: decides which exemplars are drawn, together with the example.
        form: a name in `FORMS`.

    Raises:
        ValueError: a number, budget or form cannot be.
    """

    number: ShotsNumber | None = None
    budget: Count | None = None
    seed: Seed = 0
    form: Annotated[str, one_of(*FORMS)] = 'plain'

    @property
    def most(self) -> int:
        """Return the greatest number of exemplars."""
        return MOST if self.number == MULTI else self.number or 0

    def changes_inputs(self) -> bool:
        """Return whether inputs differ from those that a template alone gives."""
        return bool(self.most) or FORMS[self.form].alone != '{inputs}'

    def within(self, length: int | None) -> 'Shots':
        """Return these settings with a budget of at most the length of inputs, in tokens.

        Longer inputs would be cut at their end, which is where the example is.
        """
        budget = min(filter(None, (self.budget, length)), default=BUDGET)
        return dataclasses.replace(self, number=self.number or 0, budget=budget)


def sample_pool(rows: Iterable[tuple[int, Any]], seed: int) -> list[tuple[int, Any]]:
    """Return `POOL` random pairs (number, row) in random order, without holding more in memory."""
    draw = random.Random(seed)
    return [
        (number, row)
        for _, number, row in heapq.nsmallest(POOL, ((draw.random(), number, row) for number, row in rows))
    ]


class Exemplars:
    """Puts exemplars before the rendered examples of a split.

    Args:
        shots: the number of exemplars, and their budget in tokens.
        pool: the rows to draw from: (row number, what `DatasetSpec.example` made of the row).
        shown: the templates; exemplars are rendered with the template of their example.
        vocabulary: counts tokens.
        own: whether the examples are of the split that the pool is of; an example is then never its own
            exemplar.
        fixed: how a benchmark sets them, in place of the form of `shots`.
        asks: the prompt mix, which says how many stand before each example, and how they are written.
    """

    def __init__(
        self,
        shots: Shots,
        pool: Sequence[tuple[int, Mapping[str, Any]]],
        shown: Sequence[Template],
        vocabulary: Vocabulary,
        own: bool,
        fixed: FewShot | None = None,
        asks: Asking | None = None,
    ) -> None:
        self.asks = asks
        self.shots, self.pool, self.shown, self.vocabulary, self.own = shots, pool, shown, vocabulary, own
        self.fixed = fixed
        self.form = FORMS[shots.form] if fixed is None else Form(fixed.exemplar, '{inputs}', '{inputs}')
        # What stands before the first exemplar.
        self.header = pool[0][1]['texts'][fixed.header] if fixed and pool else ''
        # An exemplar's number of tokens, by its place in the pool and its template.
        self.lengths: dict[tuple[int, int], int] = {}

    def prompt(self, chunk: Sequence[Any]) -> list[Any]:
        """Put exemplars before rendered examples, and store their number in `shots`.

        Drawn exemplars are added in order until one does not fit into the budget, together with the example
        itself.
        """
        drawn = [self.choose(item) for item in chunk]
        texts = {
            self.length_key(item, place, text): text
            for item, found in zip(chunk, drawn, strict=True)
            for place, text in found
        }
        # In a prompt mix few are written twice; threads share those of `lengths`.
        lengths = {} if self.asks else self.lengths
        missing = [key for key in texts if key not in lengths]
        lengths.update(zip(missing, self.count([texts[key] for key in missing]), strict=True))
        asked = [
            templates.fill(self.form_of(item).example, {'inputs': self.bare(item)}) if found else ''
            for item, found in zip(chunk, drawn, strict=True)
        ]
        prompted = []
        for item, found, question, length in zip(chunk, drawn, asked, self.count(asked), strict=True):
            own = item.asked.header if item.asked else ''
            header = own or self.header
            left = self.shots.budget - length - sum(map(len, self.vocabulary.around))
            left -= self.count([own])[0] if own else 0
            kept = []
            for place, text in found:
                left -= lengths[self.length_key(item, place, text)]
                if left < 0:
                    break
                kept.append(text)
            inputs = (
                ''.join([header, *kept, question.removeprefix(header)])
                if kept
                else templates.fill(self.form_of(item).alone, {'inputs': item.inputs})
            )
            prompted.append(item._replace(inputs=inputs, shots=len(kept)))
        return prompted

    def length_key(self, item: Any, place: int, text: str) -> Any:
        """Return what an exemplar's number of tokens is kept by: in a prompt mix its text."""
        return text if self.asks else (place, item.template)

    def form_of(self, item: Any) -> Form:
        """Return the texts that join an example and its exemplars."""
        if self.asks is None or self.fixed is not None:
            return self.form
        return drawn_form(f'{item.asked.way.key}/join')

    def bare(self, item: Any) -> str:
        """Return an example's inputs without the header that stands before the exemplars."""
        return item.inputs.removeprefix(item.asked.header) if item.asked else item.inputs

    def most(self, item: Any) -> int:
        """Return how many exemplars are to stand before an example."""
        return item.asked.way.shots if self.asks else self.shots.most

    def choose(self, item: Any) -> list[tuple[int, str]]:
        """Choose exemplars for an example: a list of (place in the pool, text)."""
        if self.fixed is None or self.fixed.drawn:
            return self.draw(item)
        return [
            (place, self.written(item, self.pool[place][1], place + 1))
            for place in range(min(len(self.pool), self.most(item)))
        ]

    def filled(self, item: Any, example: Mapping[str, Any]) -> tuple[str, str]:
        """Fill an example's template with a row of the pool: inputs and targets."""
        template, texts = self.shown[item.template], example['texts']
        if self.asks:
            return self.asks.fill(template, example, item.asked)[:2]
        return templates.fill(template.inputs, texts), templates.fill(template.targets, texts)

    def written(
        self, item: Any, example: Mapping[str, Any], number: int, filled: tuple[str, str] | None = None
    ) -> str:
        """Write an exemplar, the header left out; `filled` has its inputs and targets, where known."""
        fields = example['texts']
        if self.fixed:
            fields = fields | {self.fixed.header: ''}
            inputs, targets = self.filled(item, {**example, 'texts': fields})
        else:
            inputs, targets = filled or self.filled(item, example)
        rendered = {'inputs': inputs, 'targets': targets, 'number': str(number)}
        return templates.fill(self.form_of(item).exemplar, fields | rendered)

    def draw(self, item: Any) -> list[tuple[int, str]]:
        """Draw exemplars for an example: a list of (place in the pool, text).

        The draw depends on the seed and the row, not on the template. The example itself is never drawn, nor
        one that reads the same.
        """
        most = self.most(item)
        if not most:
            return []
        draw = random.Random(f'{self.shots.seed}/{self.own}/{item.row}')
        template, found, own = self.shown[item.template], [], self.bare(item)
        for place in draw.sample(range(len(self.pool)), min(len(self.pool), self.shots.most + SPARE)):
            if len(found) == most:
                break
            row, example = self.pool[place]
            inputs, targets = filled = self.filled(item, example)
            # The inputs of an inverted template may be just the answer, which many rows share; then the
            # targets must be equal too.
            same = inputs == own and (not template.inverted or targets == item.targets)
            if not same and not (self.own and row == item.row):
                found.append((place, self.written(item, example, len(found) + 1, filled)))
        return found

    def count(self, texts: Sequence[str]) -> list[int]:
        """Return the number of tokens of each text, without EOS."""
        return [len(ids) for ids in self.vocabulary.encode_batch(texts)]


def kept_note(manifests: Mapping[str, Mapping[str, Any]]) -> str:
    """Return sentences for the report: the number of exemplars asked for, whose they are, and how many fit in
    tasks where not all did.

    Args:
        manifests: the entry `shots` in the manifest of each task's cached split. Without tasks there is no
            sentence.
    """
    fixed = {name: shots for name, shots in manifests.items() if shots.get('fixed')}
    others = {name: shots for name, shots in manifests.items() if name not in fixed}
    sentences = (
        kept_sentence('Exemplars of its own training data', others),
        kept_sentence('Exemplars that the benchmark sets', fixed),
    )
    return ' '.join(filter(None, sentences))


def kept_sentence(whose: str, manifests: Mapping[str, Mapping[str, Any]]) -> str:
    """Return one of the sentences of `kept_note`."""
    if not manifests:
        return ''
    means = {
        name: np.average([int(n) for n in shots['kept']], weights=list(shots['kept'].values()))
        for name, shots in manifests.items()
    }
    settings = next(iter(manifests.values()))
    asked = Shots(**{field.name: settings[field.name] for field in dataclasses.fields(Shots)})
    fewer = [f'{name} {mean:.1f}' for name, mean in means.items() if mean < asked.most - 0.05]
    number = f'up to {MOST}' if asked.number == MULTI else asked.number
    fit = f'; {asked.budget} tokens hold fewer, on average, of {", ".join(fewer)}' if fewer else ''
    return f'{whose} before each example: {number}{fit}.'
