"""PPT's tasks from plain text (Gu et al. 2022, section 3.2): questions that a text answers by itself, on
which a soft prompt is trained before it meets the few examples of its task.

    sentence pair     does the second sentence follow the first one at once, stand elsewhere in its text, or
                      in another text?
    multiple choice   which sentence follows?
    single sentence   which label does a classifier give the sentence?

The words of the templates are this project's own. Every choice is a function of the seed, the split, and the
text's place in it.
"""

import dataclasses
import itertools
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from flanlite.data.specs import denoising, fingerprints, sources
from flanlite.data.specs.specs import DatasetSpec, Source, Splits
from flanlite.data.specs.templates import Template

Row = Mapping[str, Any]
KINDS = ('sentence_pair', 'multiple_choice', 'single_sentence')
TWO_SPLITS = Splits(test=None)
WINDOW = 1_000  # texts among which the sentences of another text are drawn
SENTENCE_END = re.compile(r'(?<=[.!?])\s+')
PAIR_LABELS = ('no', 'maybe', 'yes')  # of another text; of the same text; the next sentence
STAR_LABELS = ('terrible', 'bad', 'maybe', 'good', 'great')  # of a classifier with five classes
CHOICES = 6  # sentences to choose from: the next one, one of the same text, and others
MOST_CHOICES = 16  # of the unified format, which has from 2 on

QUESTIONS = {
    'sentence_pair': '{first}\n{second}\n\nDoes the second line go on from the first?',
    'multiple_choice': '{query}\n\nWhat comes next?',
    'single_sentence': '{sentence}\n\nHow does that sound?',
}
OPTIONS = '\n\n{options_}'  # behind each


def proxy_tasks(
    name: str,
    source: Source,
    text: Callable[[Row], str],
    *,
    splits: Splits = TWO_SPLITS,
    label: Callable[[Sequence[str]], Sequence[int]] | None = None,
    labels: tuple[str, ...] = STAR_LABELS,
    unified: bool = False,
    seed: int = 0,
    lineage: tuple[str, ...] = (),
    licence: str = '',
    max_examples: int | None = None,
) -> tuple[DatasetSpec, ...]:
    """Make PPT's data sets of a source of plain text: NAME_sentence_pair, NAME_multiple_choice and, with a
    classifier, NAME_single_sentence.

    Args:
        name: begins their names.
        source: of the texts.
        text: a function from a row to its text, whose sentences end with a full stop, or an exclamation or
            question mark, and a space.
        splits: the source's splits.
        label: gives sentences their labels, numbers of `labels`; such as the ranking of a tuned model.
        labels: the classifier's.
        unified: pose all as questions with options, of which the multiple choice has from 2 to 16 (Unified
            PPT).
        seed: of all choices.
        lineage: the corpora that the text descends from.
        licence: the publisher's terms, in short.
        max_examples: cap on the training examples of each.
    """
    kinds = KINDS if label else KINDS[:2]
    options = {'sentence_pair': PAIR_LABELS, 'multiple_choice': (), 'single_sentence': labels}
    clusters = {'sentence_pair': 'nli', 'multiple_choice': 'commonsense', 'single_sentence': 'sentiment'}
    return tuple(
        DatasetSpec(
            name=f'{name}_{kind}',
            cluster=clusters[kind],
            source=Proxy(source, text, kind, unified, label if kind == 'single_sentence' else None, seed),
            splits=splits,
            fields=dict,
            templates=(Template(('{question}' if unified else QUESTIONS[kind]) + OPTIONS, '{answer}'),),
            options=options[kind],
            lineage=lineage,
            licence=licence,
            max_examples=max_examples,
        )
        for kind in kinds
    )


@dataclasses.dataclass(frozen=True)
class Proxy:
    """A source of questions that texts answer; see the module.

    Args:
        source: of the texts.
        text: from a row to its text.
        kind: one of `KINDS`.
        unified: see `proxy_tasks`.
        label: see `proxy_tasks`.
        seed: of all choices.
    """

    source: Source
    text: Callable[[Row], str]
    kind: str
    unified: bool = False
    label: Callable[[Sequence[str]], Sequence[int]] | None = None
    seed: int = 0

    def rows(self, split: str) -> Iterator[Row]:
        """Make the questions of a split of texts; see `specs.Source`."""
        return sources.sliced(self.read, split)

    def read(self, split: str) -> Iterator[Row]:
        """Make all questions of one split: at most one of each sentence."""
        make = {
            'sentence_pair': self._pairs,
            'multiple_choice': self._choices,
            'single_sentence': self._singles,
        }
        texts = iter(self.source.rows(split))
        for window in itertools.count():
            read = [SENTENCE_END.split(self.text(row).strip()) for row in itertools.islice(texts, WINDOW)]
            if not read:
                return
            held = [sentences for sentences in read if any(sentences)]  # but empty texts
            random = denoising.generator(self.seed, f'{self.kind}/{split}', window)
            for fields, answer in make[self.kind](held, random):
                question = {'question': QUESTIONS[self.kind].format(**fields)}
                yield (question if self.unified else fields) | answer

    def version(self) -> str:
        """Identify the texts and how questions are made of them."""
        settings = (self.text, self.kind, self.unified, self.label, self.seed)
        return f'{self.source.version()} {fingerprints.of(*settings)}'

    def _pairs(self, held: Sequence[Sequence[str]], random: np.random.Generator) -> Iterator[tuple[Row, Row]]:
        for number, sentences in enumerate(held):
            for place in range(len(sentences) - 1):
                first, kind = sentences[place], int(random.integers(3))
                apart = [other for other in range(len(sentences)) if abs(other - place) > 1]
                if kind == 0:
                    others = self._others(held, number, 1, random)
                elif kind == 1:
                    others = [sentences[int(random.choice(apart))]] if apart else []
                else:
                    others = [sentences[place + 1]]
                if others and others[0] != first:
                    yield {'first': first, 'second': others[0]}, {'answer': kind}

    def _choices(
        self, held: Sequence[Sequence[str]], random: np.random.Generator
    ) -> Iterator[tuple[Row, Row]]:
        for number, sentences in enumerate(held):
            for place in range(len(sentences) - 1):
                count = int(random.integers(2, MOST_CHOICES + 1)) if self.unified else CHOICES
                apart = [other for other in range(len(sentences)) if abs(other - place) > 1]
                near = [sentences[int(random.choice(apart))]] if apart and count > 2 else []
                options = [sentences[place + 1], *near]
                options += self._others(held, number, count - len(options), random)
                if len(set(options)) == count and sentences[place] not in options:
                    order = random.permutation(count)
                    shown = {'options': [options[at] for at in order]}
                    yield {'query': sentences[place]}, shown | {'answer': int(np.flatnonzero(order == 0)[0])}

    def _singles(
        self, held: Sequence[Sequence[str]], random: np.random.Generator
    ) -> Iterator[tuple[Row, Row]]:
        del random
        sentences = [sentence for each in held for sentence in each]
        for sentence, answer in zip(sentences, self.label(sentences), strict=True):
            yield {'sentence': sentence}, {'answer': int(answer)}

    def _others(
        self, held: Sequence[Sequence[str]], number: int, count: int, random: np.random.Generator
    ) -> list[str]:
        """Draw sentences of other texts, each of another; fewer where there are not so many texts."""
        drawn = random.permutation(len(held))[: count + 1]
        texts = [other for other in drawn if other != number][:count]
        return [held[other][int(random.integers(len(held[other])))] for other in texts]
