"""From a data set's rows to examples, natively: fill templates and tokenise, or hide spans of plain text. No
TensorFlow.
"""

import collections
import concurrent.futures
import contextlib
import itertools
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from flanlite.data.rendering import asking, fewshot
from flanlite.data.rendering.asking import Asked, Asking
from flanlite.data.rendering.fewshot import Exemplars, Shots
from flanlite.data.specs import denoising, specs, templates
from flanlite.data.specs.prompt_mix import PromptMix
from flanlite.data.specs.specs import DatasetSpec, TextSpec
from flanlite.data.tokens.example import Example
from flanlite.data.tokens.vocabulary import Vocabulary

SAMPLE_SEED = 0  # of the random order in which evaluation splits are stored
CHUNK = 500  # examples that are tokenised together
LISTED = 'listed to be dropped'  # the reason that is counted for rows on a drop list
EVALUATED = ('options', 'shown', 'answers', 'group')  # what only evaluation needs of an example
THREADS = 2  # tokenise; more are not faster, since one thread reads and renders


class Rendered(NamedTuple):
    """One example as text."""

    inputs: str
    targets: str
    row: int
    template: int
    options: tuple[str, ...] = ()
    shown: tuple[str, ...] = ()  # the options as the model reads them
    answers: tuple[str, ...] = ()
    group: str = ''
    shots: int = 0
    setting: str = ''  # of a prompt mix
    form: str = ''  # in which its options are listed, where a prompt mix shows them
    asked: Asked | None = None  # how a prompt mix asks it


class Tally:
    """Counts of the rows that were read, used and dropped."""

    def __init__(self) -> None:
        self.read = 0  # rows read
        self.used = 0  # rows, or pieces of text, that gave examples
        self.filtered: dict[str, int] = {}  # number of dropped rows by reason
        self.truncated = False  # whether the limit left rows unread
        # Number of examples by number of few-shot exemplars in them.
        self.exemplars: collections.Counter[int] = collections.Counter()
        # Number of examples by setting of a prompt mix.
        self.settings: collections.Counter[str] = collections.Counter()

    def drop(self, reason: str) -> None:
        """Count a dropped row."""
        self.filtered[reason] = self.filtered.get(reason, 0) + 1

    def reached(self, limit: int | None) -> bool:
        """Return whether a limit on rows is reached. Rows on a drop list count, so that no rows beyond the
        limit take their place.
        """
        return limit is not None and self.used + self.filtered.get(LISTED, 0) >= limit


def examples(
    spec: specs.Spec,
    split: str,
    vocabulary: Vocabulary,
    *,
    style: str = 'instructions',
    renderings: int | str = 1,
    limit: int | None = None,
    shots: Shots | None = None,
    mix: PromptMix | None = None,
    dropped: Collection[int] = (),
    tally: Tally | None = None,
) -> Iterator[Example]:
    """Make the examples of a data set or plain text; threads tokenise while rows are read and rendered.

    Args:
        spec: the data set or text.
        split: train, validation or test.
        vocabulary: gives the tokens.
        style: as in `render`.
        renderings: as in `render` and `denoise`.
        limit: as in `render` and `denoise`.
        shots: adds few-shot exemplars to the inputs; by default there are none. Plain text never has any.
        mix: as in `render`.
        dropped: the indices of rows to leave out.
        tally: counts the rows.
    """
    tally = tally or Tally()
    if isinstance(spec, TextSpec):
        yield from denoise(
            spec, split, vocabulary, renderings=renderings, limit=limit, dropped=dropped, tally=tally
        )
        return
    rendered = render(
        spec, split, style=style, renderings=renderings, limit=limit, mix=mix, dropped=dropped, tally=tally
    )
    prompt = prompter(spec, split, style, vocabulary, shots, dropped, mix)
    for chunk in in_threads(
        lambda chunk: tokenize(prompt(chunk), vocabulary), in_chunks(rendered, CHUNK), THREADS
    ):
        tally.exemplars.update(example.shots for example in chunk)
        tally.settings.update(example.setting for example in chunk)
        yield from chunk


def prompter(
    spec: DatasetSpec,
    split: str,
    style: str,
    vocabulary: Vocabulary,
    shots: Shots | None,
    dropped: Collection[int] = (),
    mix: PromptMix | None = None,
) -> Callable[[Sequence[Rendered]], Sequence[Rendered]]:
    """Return what puts exemplars before rendered examples, or leaves them as they are without `shots`."""
    if not shots:
        return lambda chunk: chunk
    return open_exemplars(spec, split, style, vocabulary, shots, dropped, mix).prompt


def texts(
    spec: DatasetSpec,
    split: str,
    vocabulary: Vocabulary,
    *,
    style: str = 'instructions',
    renderings: int | str = 1,
    limit: int | None = None,
    shots: Shots | None = None,
    mix: PromptMix | None = None,
    dropped: Collection[int] = (),
) -> Iterator[Rendered]:
    """Make the same examples as `examples` in the same order, as texts; the vocabulary only counts the tokens
    of exemplars.
    """
    rendered = render(spec, split, style=style, renderings=renderings, limit=limit, mix=mix, dropped=dropped)
    prompt = prompter(spec, split, style, vocabulary, shots, dropped, mix)
    for chunk in in_chunks(rendered, CHUNK):
        yield from prompt(chunk)


def open_exemplars(
    spec: DatasetSpec,
    split: str,
    style: str,
    vocabulary: Vocabulary,
    shots: Shots,
    dropped: Collection[int] = (),
    mix: PromptMix | None = None,
) -> Exemplars:
    """Read the rows that a split's exemplars are drawn from: the training rows, or what a benchmark says.

    Raises:
        ValueError: the data set has no training split, and no exemplars of its own.
    """
    shown = asking.all_templates(spec, style, mix)
    asks = Asking(mix, spec.name, shown, (), False) if mix else None
    if fixed := spec.few_shot:
        pool = []
        for row, raw in enumerate(spec.source.rows(fixed.split)):
            with located(spec, fixed.split, row, raw):
                pool.append((row, spec.example(raw)))
        own = fixed.split == spec.splits.get(split)
        return Exemplars(shots, pool, shown, vocabulary, own, fixed, asks)
    if not spec.splits.train:
        raise ValueError(
            f'data set {spec.name!r} has no training split to draw few-shot exemplars from; ask it without '
            'shots'
        )
    rows = itertools.islice(kept_rows(spec, 'train', Tally(), dropped), fewshot.READ if shots.most else 0)
    pool = []
    for row, raw in fewshot.sample_pool(((row, raw) for row, _, raw in rows), shots.seed):
        with located(spec, 'train', row, raw):
            pool.append((row, spec.example(raw)))
    return Exemplars(shots, pool, shown, vocabulary, split == 'train', asks=asks)


def kept_rows(
    spec: specs.Spec, split: str, tally: Tally, dropped: Collection[int] = ()
) -> Iterator[tuple[int, int, specs.Row]]:
    """Yield (index among all rows, index among kept rows, row).

    Training rows come in the source's order. Rows of the other splits come in a fixed random order: many
    files are sorted by label, and reading only the first rows of an evaluation split must give a random
    sample. Rows in `dropped` leave a gap: the other rows keep their indices, and therefore their templates.

    Args:
        spec: the data set or text.
        split: train, validation or test.
        tally: counts the rows that are read and dropped.
        dropped: the indices of rows to leave out.
    """

    def kept() -> Iterator[tuple[int, int, specs.Row]]:
        place = 0
        for index, row in enumerate(spec.source.rows(specs.source_split(spec, split))):
            tally.read += 1
            with located(spec, split, index, row):
                wanted = spec.keep is None or spec.keep(row)
            if not wanted:
                tally.drop('keep')
                continue
            if index in dropped:
                tally.drop(LISTED)
            else:
                yield index, place, row
            place += 1

    if split == 'train':
        return kept()
    rows = list(kept())
    order = sample_order(len(rows)).tolist()
    # Rows of a group follow each other, so that a limit splits at most one group.
    if group := getattr(spec, 'group', None):
        groups: dict[Any, list[int]] = {}
        for place in order:
            groups.setdefault(group(rows[place][2]), []).append(place)
        order = itertools.chain(*groups.values())
    return (rows[place] for place in order)


@contextlib.contextmanager
def located(spec: specs.Spec, split: str, index: int, row: specs.Row) -> Iterator[None]:
    """Add the row's place, and its fields with their types, to errors that a data set's functions raise."""
    try:
        yield
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        fields = ', '.join(f'{name} ({type(value).__name__})' for name, value in row.items())
        raise ValueError(
            f'{spec.name!r}, {split} row {index}: {type(error).__name__}: {error}; the row has {fields}'
        ) from error


def sample_order(count: int) -> np.ndarray:
    """Return the order in which an evaluation split's rows are stored, int[count]; its first rows are a
    random sample of all.
    """
    return np.random.Generator(np.random.PCG64(SAMPLE_SEED)).permutation(count)


def template_indices(
    spec: DatasetSpec, style: str, renderings: int | str
) -> tuple[Sequence[templates.Template], list[int]]:
    """Return a style's templates, and the indices of those to use: all, or with `renderings='all'` those that
    evaluation asks with.

    Raises:
        ValueError: there is no template to use.
    """
    shown = spec.style_templates(style)
    indices = [index for index, template in enumerate(shown) if renderings != 'all' or spec.asks(template)]
    if not indices:
        raise ValueError(f'data set {spec.name!r} has no templates of the style {style!r} to read')
    return shown, indices


def examples_per_row(spec: specs.Spec, split: str, style: str, renderings: int | str) -> int:
    """Return the number of examples that one row, or one piece of text, gives."""
    if isinstance(spec, TextSpec):
        return (1 if renderings == 'all' else renderings) * (spec.corruptions if split == 'train' else 1)
    indices = template_indices(spec, style, renderings)[1]
    return len(indices) if renderings == 'all' else min(renderings, len(indices))


def render(
    spec: DatasetSpec,
    split: str,
    *,
    style: str = 'instructions',
    renderings: int | str = 1,
    limit: int | None = None,
    mix: PromptMix | None = None,
    dropped: Collection[int] = (),
    tally: Tally | None = None,
) -> Iterator[Rendered]:
    """Fill a data set's templates, row by row: kept row i gets the templates i, i + 1, ... modulo their
    number.

    With one rendering this is FLAN's rule (its release cycles through a data set's templates).

    Args:
        spec: the data set.
        split: train, validation or test; examples of the latter two have options and answers.
        style: `instructions`, `baseline` or `fields`; see `DatasetSpec.style_templates`.
        renderings: how many templates each row is rendered with; `all` means every one that is not inverted,
            as evaluation needs.
        limit: stop after this many rows.
        mix: draws how each row is asked; exemplars are added later. Examples of `train` then have options and
            answers too. None asks with the templates as they are.
        dropped: the indices of rows to leave out.
        tally: counts the rows.

    Raises:
        ValueError: a row cannot be rendered, or the style has no templates.
    """
    tally = tally or Tally()
    shown, indices = template_indices(spec, style, renderings)
    count = examples_per_row(spec, split, style, renderings)
    shown = asking.all_templates(spec, style, mix)
    asks = Asking(mix, spec.name, shown, indices, strict=renderings != 'all') if mix else None
    for row, place, raw in kept_rows(spec, split, tally, dropped):
        if tally.reached(limit):
            tally.truncated = True
            return
        with located(spec, split, row, raw):
            example = spec.example(raw)
        tally.used += 1
        texts = example['texts']
        extra = () if split == 'train' else tuple(example[key] for key in EVALUATED)
        first = 0 if renderings == 'all' else place
        if asks:
            with located(spec, split, row, raw):
                yield from in_turn(asks, row, example, range(first, first + count))
            continue
        for number in range(count):
            index = indices[(first + number) % len(indices)]
            template = shown[index]
            yield Rendered(
                templates.fill(template.inputs, texts),
                templates.fill(template.targets, texts),
                row,
                index,
                *extra,
            )


def in_turn(asks: Asking, row: int, example: Mapping[str, Any], turns: Iterable[int]) -> Iterator[Rendered]:
    """Ask a row as a prompt mix does.

    Args:
        asks: the mix.
        row: the row's index.
        example: what `DatasetSpec.example` made of it.
        turns: numbers, modulo that of the templates that the mix asks such rows with.
    """
    asked = asks.draw(row, example)
    indices = asks.turns(asked.way, bool(example['shown']))
    for turn in turns:
        index = indices[turn % len(indices)]
        template = asks.shown[index]
        inputs, targets, shown, listed = asks.fill(template, example, asked)
        form = asked.form.name if listed else ''
        header = asks.header(template, example)
        options = example['options']
        evaluated = (shown, example['answers'], example['group'])
        yield Rendered(
            header + inputs, targets, row, index, options, *evaluated, 0, asked.way.setting, form,
            asked._replace(header=header),
        )  # fmt: skip


def denoise(
    spec: TextSpec,
    split: str,
    vocabulary: Vocabulary,
    *,
    renderings: int | str = 1,
    limit: int | None = None,
    dropped: Collection[int] = (),
    tally: Tally | None = None,
) -> Iterator[Example]:
    """Turn plain text into examples of its objective; every rendering of a piece hides other spans, or cuts
    it at another place.

    Args:
        spec: the text.
        split: train, validation or test.
        vocabulary: gives the tokens and, for span corruption, the sentinels.
        renderings: how many examples each piece gives, times the spec's own `corruptions` in training.
        limit: stop after this many pieces.
        dropped: the indices of rows to leave out.
        tally: counts the rows, and as used the pieces.
    """
    tally = tally or Tally()
    count = examples_per_row(spec, split, 'instructions', renderings)
    rows = kept_rows(spec, split, tally, dropped)
    while chunk := list(itertools.islice(rows, CHUNK)):
        for (row, _, _), tokens in zip(
            chunk, vocabulary.encode_batch([spec.text(raw) for _, _, raw in chunk]), strict=True
        ):
            if len(tokens) < 2:
                tally.drop('fewer than 2 tokens')
            for start in range(0, len(tokens) - 1, spec.length):
                if tally.used == limit:
                    tally.truncated = True
                    return
                tally.used += 1
                piece = tokens[start : start + spec.length]
                for rendering in range(count):
                    inputs, targets = objective(spec, piece, vocabulary, (row, start, rendering))
                    asked, answer = (
                        np.array([*ids, vocabulary.eos_id], np.int32) for ids in (inputs, targets)
                    )
                    yield Example(vocabulary.as_inputs(asked), answer, row, rendering)


def objective(
    spec: TextSpec, tokens: Sequence[int], vocabulary: Vocabulary, place: tuple[int, ...]
) -> tuple[Sequence[int], Sequence[int]]:
    """Apply a text's objective to the tokens of one piece; return inputs and targets, without EOS.

    Args:
        spec: the text.
        tokens: the tokens of the piece.
        vocabulary: gives the sentinels.
        place: (row, start of the piece, rendering), which decides the random choices.
    """
    random = denoising.generator(spec.seed, spec.name, *place)
    if spec.objective == 'prefix_lm':
        return denoising.prefix_lm(tokens, random, longest=spec.longest_target)
    if not vocabulary.extra_ids:
        raise ValueError(
            f'{spec.name} hides spans, for which the vocabulary {vocabulary.name!r} has no sentinels; '
            "expected objective='prefix_lm', or a vocabulary that has some, such as bytes"
        )
    sentinels = range(vocabulary.size - 1, vocabulary.size - 1 - vocabulary.extra_ids, -1)
    shape = {'density': spec.density, 'mean_span': spec.mean_span, 'roll': spec.roll}
    return denoising.span_corruption(tokens, random, sentinels=sentinels, **shape)


def tokenize(chunk: Sequence[Rendered], vocabulary: Vocabulary) -> list[Example]:
    """Turn rendered examples into tokens, with BOS and EOS as the vocabulary says; equal texts are tokenised
    once.
    """
    texts = list(dict.fromkeys(text for item in chunk for text in (item.inputs, item.targets, *item.shown)))
    tokens = dict(zip(texts, vocabulary.encode_arrays(texts), strict=True))
    return [
        Example(
            vocabulary.as_inputs(tokens[inputs]),
            tokens[targets],
            row,
            template,
            options,
            tuple([tokens[option] for option in shown]),
            *more,
        )
        for inputs, targets, row, template, options, shown, *more, _ in chunk
    ]


def in_chunks(items: Iterable[Any], size: int) -> Iterator[list]:
    """Group items into lists of `size`; the last may be shorter."""
    remaining = iter(items)
    while chunk := list(itertools.islice(remaining, size)):
        yield chunk


def in_threads(function: Callable[[Any], Any], items: Iterable[Any], workers: int) -> Iterator[Any]:
    """Apply a function to items in threads, and yield the results in order.

    Only one item more than there are workers is in work, so that little memory is held. Threads are enough
    here, since tokenizers release Python's lock while they encode.
    """
    remaining = iter(items)
    first = list(itertools.islice(remaining, workers + 1))
    if len(first) == 1:  # sooner done than a thread starts
        yield function(first[0])
        return
    with concurrent.futures.ThreadPoolExecutor(workers) as pool:
        waiting = collections.deque(pool.submit(function, item) for item in first)
        while waiting:
            done = waiting.popleft().result()
            waiting.extend(pool.submit(function, item) for item in itertools.islice(remaining, 1))
            yield done
