"""Blanks of a task's own label words in plain text, the data of Go-tuning (Xu et al. 2023): a model that has
filled them knows its labels before it sees an example of the task.

Each question is a sentence in which one label's word is hidden, and is ranked as the task is, with a word of
each label to choose from. The words of the templates are this project's own.
"""

import dataclasses
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from flanlite.data.specs import denoising, fingerprints, sources
from flanlite.data.specs.checks import check_numbers, check_texts
from flanlite.data.specs.proxies import SENTENCE_END, TWO_SPLITS
from flanlite.data.specs.specs import DatasetSpec, Source, Splits
from flanlite.data.specs.templates import Template

Row = Mapping[str, Any]
BLANK = '_'
TEMPLATES = (
    Template('{text}\n\nWhich word is missing?\n\n{options_}'),
    Template('Fill the blank.\n{text}\n{options_}'),
    Template('{options_}\nOne of these belongs into the gap: {text}'),
)


def blank_task(
    name: str,
    source: Source,
    text: Callable[[Row], str],
    labels: Mapping[str, tuple[str, ...]],
    *,
    splits: Splits = TWO_SPLITS,
    templates: tuple[Template, ...] = TEMPLATES,
    before: int = 2,
    per_label: int | None = None,
    cluster: str | None = None,
    seed: int = 0,
    lineage: tuple[str, ...] = (),
    licence: str = '',
) -> DatasetSpec:
    """Make the data set of blanks of a task's labels in plain text.

    Args:
        name: of the data set.
        source: of the texts.
        text: from a row to its text.
        labels: at least two, each with the words that stand for it, in whatever case: {'good': ('good',
            'great'), 'bad': ('bad', 'awful')}. No word stands for two.
        splits: the source's splits.
        templates: with the fields `text`, in which the word is a `_`, and `options_`; such as those of the
            task itself.
        before: how many sentences before that of the blank are shown.
        per_label: at most so many blanks of each label in a split, the first ones, so that the answers are as
            many of each; by default all.
        cluster: that of the task, so that both are held out together.
        seed: of the words that stand for the other labels.
        lineage: the corpora that the text descends from.
        licence: the publisher's terms, in short.

    Raises:
        ValueError: fewer than two labels, a label without words, a word twice, or a number that cannot be.
    """
    return DatasetSpec(
        name=name,
        cluster=cluster,
        source=Blanks(source, text, as_pairs(labels), before, per_label, seed),
        splits=splits,
        fields=dict,
        templates=templates,
        lineage=lineage,
        licence=licence,
    )


def as_pairs(labels: Mapping[str, tuple[str, ...]]) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Return labels with their words as pairs; a lone text in place of words is refused."""
    if any(isinstance(words, str) for words in labels.values()):
        raise ValueError(
            f"got the labels {dict(labels)}; expected a tuple of words for each, such as ('good',)"
        )
    return tuple((label, tuple(words)) for label, words in labels.items())


@dataclasses.dataclass(frozen=True)
class Blanks:
    """A source of blanks in texts; see `blank_task`.

    Args:
        source: of the texts.
        text: from a row to its text.
        labels: pairs of a label and the words that stand for it.
        before: how many sentences before that of the blank are shown.
        per_label: at most so many of each label.
        seed: of the other options.
    """

    source: Source
    text: Callable[[Row], str]
    labels: tuple[tuple[str, tuple[str, ...]], ...]
    before: int = 2
    per_label: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        check_numbers(0, before=self.before)
        check_numbers(1, per_label=self.per_label)
        if len(self.labels) < 2 or not all(words for _, words in self.labels):
            raise ValueError(
                f'got the labels {dict(self.labels)}; expected at least two, each with a word that stands '
                'for it'
            )
        check_texts('words of the labels', tuple(word.lower() for _, words in self.labels for word in words))

    def rows(self, split: str) -> Iterator[Row]:
        """Make the blanks of a split; see `specs.Source`."""
        return sources.sliced(self.read, split)

    def read(self, split: str) -> Iterator[Row]:
        """Make all blanks of one split: of each sentence with a word of a label, unless what is shown has one
        of another label, too. What is hidden is its last such word.
        """
        word_of = {word.lower(): word for _, words in self.labels for word in words}
        label_of = {word.lower(): label for label, words in self.labels for word in words}
        longest_first = sorted(label_of, key=len, reverse=True)
        pattern = re.compile(rf'(?<!\w)(?:{"|".join(map(re.escape, longest_first))})(?!\w)', re.IGNORECASE)
        left = dict.fromkeys((label for label, _ in self.labels), self.per_label)
        for number, row in enumerate(self.source.rows(split)):
            sentences = SENTENCE_END.split(self.text(row).strip())
            random = denoising.generator(self.seed, split, number)
            for place, sentence in enumerate(sentences):
                before = ' '.join([*sentences[max(0, place - self.before) : place], ''])
                # Letters that are alike but for case may be none of a label's own, such as ſ of s.
                found = [each for each in pattern.finditer(sentence) if each[0].lower() in label_of]
                others = [each for each in pattern.finditer(before) if each[0].lower() in label_of]
                words = [each[0].lower() for each in (*others, *found)]
                if not found or len({label_of[word] for word in words}) > 1:
                    continue
                label = label_of[words[-1]]
                if left[label] == 0:
                    continue
                left[label] = left[label] and left[label] - 1
                start, stop = found[-1].span()
                options = [
                    word_of[words[-1]] if other == label else those[int(random.integers(len(those)))]
                    for other, those in self.labels
                ]
                yield {
                    'text': before + sentence[:start] + BLANK + sentence[stop:],
                    'options': [options[at] for at in random.permutation(len(options))],
                    'answer': word_of[words[-1]],
                }
            if not any(count is None or count for count in left.values()):
                return

    def version(self) -> str:
        """Identify the texts and how blanks are made of them."""
        settings = (self.text, self.labels, self.before, self.per_label, self.seed)
        return f'{self.source.version()} {fingerprints.of(*settings)}'
