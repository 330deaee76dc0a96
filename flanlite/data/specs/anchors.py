"""Anchor extraction from linked text, PMR's task (Xu et al. 2023, section 3), as text to text: which words of
a passage are a link to the article that a definition is of?

An answer is a set of spans, the empty one where the passage has no link to it; see `metrics.span_sets`. In
PMR a span extractor answers; the words of the templates are this project's own.
"""

import dataclasses
import html
import re
import urllib.parse
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from flanlite.config import check_field
from flanlite.data.specs import denoising, fingerprints, sources
from flanlite.data.specs.specs import DatasetSpec, Source, Splits
from flanlite.data.specs.templates import Template
from flanlite.limits import Count, NotNegative
from flanlite.metrics.span_sets import write_spans

Row = Mapping[str, Any]
TWO_SPLITS = Splits(test=None)
LINK = re.compile(r'<a\b[^>]*?\bhref="([^"]*)"[^>]*>(.*?)</a>', re.DOTALL)
ESCAPED = '&lt;a href='
TAG = re.compile(r'<[^>]+>')
SENTENCE_END = re.compile(r'(?<=[.!?])\s+(?![^<]*</a>)')  # never inside a link

TEMPLATES = (
    Template('{passage}\n\nWhich words of this text mean what is described here? {definition}'),
    Template('Description: {definition}\nText: {passage}\nWhat in the text is it?'),
    Template('Read: {passage}\nFind in it what this tells about: {definition}'),
)


def anchor_task(
    name: str,
    articles: Source,
    title: Callable[[Row], str],
    text: Callable[[Row], str],
    *,
    splits: Splits = TWO_SPLITS,
    words: int = 100,
    definition_words: int = 40,
    negatives: float = 1.0,
    seed: int = 0,
    cluster: str | None = 'reading_comprehension',
    lineage: tuple[str, ...] = (),
    licence: str = '',
    max_examples: int | None = None,
) -> DatasetSpec:
    """Make the data set of a source of articles that link to each other.

    Args:
        name: of the data set.
        articles: each split's link to articles of the same split only; all definitions of a split are held in
            memory.
        title: from an article to its title.
        text: from an article to its text, in which `<a href="TITLE">anchor</a>` is a link, as WikiExtractor
            writes it with `--links`, also where the tags are escaped; titles may be escaped as in a URL.
        splits: the source's splits.
        words: of a passage at most, in whole sentences; a longer sentence is a passage of its own.
        definition_words: of a definition at most, with which its article begins.
        negatives: how many definitions without a link each passage is asked for, for each with one; in PMR 1.
        seed: of the definitions without a link.
        cluster: see `DatasetSpec`.
        lineage: the corpora that the text descends from.
        licence: the publisher's terms, in short.
        max_examples: cap on the training examples.

    Raises:
        ValueError: a number that cannot be.
    """
    return DatasetSpec(
        name=name,
        cluster=cluster,
        source=Anchors(articles, title, text, words, definition_words, negatives, seed),
        splits=splits,
        fields=dict,
        templates=TEMPLATES,
        metric='span_sets',
        lineage=lineage,
        licence=licence,
        max_examples=max_examples,
    )


@dataclasses.dataclass(frozen=True)
class Anchors:
    """A source of questions for anchors; see `anchor_task`."""

    source: Source
    title: Callable[[Row], str]
    text: Callable[[Row], str]
    words: int = 100
    definition_words: int = 40
    negatives: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        check_field('words', self.words, Count)
        check_field('definition_words', self.definition_words, Count)
        check_field('negatives', self.negatives, NotNegative)

    def rows(self, split: str) -> Iterator[Row]:
        """Make the questions of a split; see `specs.Source`."""
        return sources.sliced(self.read, split)

    def read_text(self, row: Row) -> str:
        """Return an article's text with its links as tags."""
        text = self.text(row)
        return html.unescape(text) if ESCAPED in text and not LINK.search(text) else text

    def read(self, split: str) -> Iterator[Row]:
        """Make all questions of one split: of each passage, in the order of its links, then those without."""
        defined = {
            canonical(self.title(row)): ' '.join(plain(self.read_text(row)).split()[: self.definition_words])
            for row in self.source.rows(split)
        }
        titles = list(defined)
        for number, row in enumerate(self.source.rows(split)):
            own = canonical(self.title(row))
            random = denoising.generator(self.seed, split, number)
            for passage in passages(self.read_text(row), self.words):
                linked: dict[str, list[str]] = {}
                for target, anchor in LINK.findall(passage):
                    if (meant := canonical(target)) in defined and meant != own:
                        linked.setdefault(meant, []).append(plain(anchor))
                shown = plain(passage)
                for meant, found in linked.items():
                    yield {'passage': shown, 'definition': defined[meant], 'answer': write_spans(found)}
                wanted = int(self.negatives * len(linked) + random.random())
                out = len({own, *linked} & defined.keys())
                others: dict[str, None] = {}
                while len(others) < min(wanted, len(titles) - out):
                    drawn = titles[int(random.integers(len(titles)))]
                    others |= {} if drawn in (own, *linked) else {drawn: None}
                for other in others:
                    yield {'passage': shown, 'definition': defined[other], 'answer': write_spans(())}

    def version(self) -> str:
        """Identify the articles and how questions are made of them."""
        settings = (self.title, self.text, self.words, self.definition_words, self.negatives, self.seed)
        return f'{self.source.version()} {fingerprints.of(*settings)}'


def canonical(title: str) -> str:
    """Return a title, or the target of a link, as one form: without the section behind `#`, blanks for `_`,
    and a capital first.
    """
    title = urllib.parse.unquote(html.unescape(title)).partition('#')[0].replace('_', ' ').strip()
    return title[:1].upper() + title[1:]


def plain(text: str) -> str:
    """Return a text without its links and other tags, and with its white space as single blanks."""
    return ' '.join(html.unescape(TAG.sub('', text)).split())


def passages(text: str, words: int) -> Iterator[str]:
    """Cut a text into passages of whole sentences, of at most so many words where sentences allow it; links
    stay whole.
    """
    held: list[str] = []
    count = 0
    for sentence in SENTENCE_END.split(text.strip()):
        length = len(plain(sentence).split())
        if held and count + length > words:
            yield ' '.join(held)
            held, count = [], 0
        held.append(sentence)
        count += length
    if held:
        yield ' '.join(held)
