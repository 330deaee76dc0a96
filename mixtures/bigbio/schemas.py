"""BigBio's six schemas (Fries et al. 2022) as tasks: one recipe makes a data set of whatever rows are in the schema.

A row of the schema `kb`, a document with its annotations, becomes several questions: one for each type of entity, relation or event, each
mention that is normalized, each group that corefers. An answer of several spans is a set; see `flanlite.metrics.span_sets`. The schemas are those of
bigscience-workshop/biomedical, `bigbio/utils/schemas`; the words of the templates are this project's own.
"""

import contextlib
import dataclasses
import functools
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from flanlite.data.specs import denoising, fingerprints
from flanlite.data.specs.specs import DatasetSpec, Row, Source, Splits
from flanlite.data.specs.templates import Template
from flanlite.metrics.span_sets import check_several, write_spans

SCHEMAS = ('kb', 'qa', 'te', 'pairs', 't2t', 'text')
EVERYTHING = Splits()
NUMBER = re.compile(r'-?\d+(\.\d+)?')
Make = Callable[[Row, Sequence[str], np.random.Generator], Iterator[Row]]


class Task(NamedTuple):
    """A task that a schema's rows allow.

    Args:
        schema: one of `SCHEMAS`.
        cluster: of its data sets.
        names: from a row to the types or labels that it has; a data set's are those of all its training rows.
        make: from a row, all names of the data set and random numbers to the rows of the task.
        templates: for its fields.
        metric: of its answers.
    """

    schema: str
    cluster: str
    names: Callable[[Row], Sequence[str]]
    make: Make
    templates: tuple[Template, ...]
    metric: str = 'span_sets'


def no_names(row: Row) -> Sequence[str]:
    """Return no names, for tasks that need none."""
    del row
    return ()


def document(row: Row) -> str:
    """Return the text of a document: its passages, which the offsets of annotations count through."""
    return ' '.join(mention(passage) for passage in row['passages'])


def mention(part: Mapping[str, Any]) -> str:
    """Return the text of an annotation or passage; one in several pieces with a blank between."""
    return ' '.join(check_several(part['text']))


def types_of(field: str, row: Row) -> Sequence[str]:
    """Return the types of a document's entities, relations or events."""
    return [part['type'] for part in row[field]]


def mentions(row: Row) -> dict[str, str]:
    """Return the texts of a document's entities, and of its events' triggers, by their ids."""
    return {part['id']: mention(part) for part in row['entities']} | {part['id']: mention(part['trigger']) for part in row['events']}


def asked_types(field: str, row: Row, names: Sequence[str], random: np.random.Generator) -> list[str]:
    """Return the types that a document is asked for: those that it has, and one that it has not."""
    own = list(dict.fromkeys(types_of(field, row)))
    others = [name for name in names if name not in own]
    return [*own, others[int(random.integers(len(others)))]] if others else own


def entities(row: Row, names: Sequence[str], random: np.random.Generator) -> Iterator[Row]:
    """Ask for all mentions of a type of entity."""
    for kind in asked_types('entities', row, names, random):
        found = [mention(part) for part in row['entities'] if part['type'] == kind]
        yield {'text': document(row), 'type': kind, 'answer': write_spans(found)}


def relations(row: Row, names: Sequence[str], random: np.random.Generator) -> Iterator[Row]:
    """Ask for all pairs in a type of relation."""
    text_of = mentions(row)
    for kind in asked_types('relations', row, names, random):
        pairs = [
            f'{text_of[part["arg1_id"]]} | {text_of[part["arg2_id"]]}'
            for part in row['relations']
            if part['type'] == kind and {part['arg1_id'], part['arg2_id']} <= set(text_of)
        ]
        yield {'text': document(row), 'type': kind, 'answer': write_spans(pairs)}


def events(row: Row, names: Sequence[str], random: np.random.Generator) -> Iterator[Row]:
    """Ask for all events of a type: the trigger, then each argument behind its role."""
    text_of = mentions(row)
    for kind in asked_types('events', row, names, random):
        found = [
            ' | '.join(
                [
                    mention(part['trigger']),
                    *(f'{each["role"]}: {text_of[each["ref_id"]]}' for each in part['arguments'] if each['ref_id'] in text_of),
                ]
            )
            for part in row['events']
            if part['type'] == kind
        ]
        yield {'text': document(row), 'type': kind, 'answer': write_spans(found)}


def coreferences(row: Row, names: Sequence[str], random: np.random.Generator) -> Iterator[Row]:
    """Ask for the other mentions of what the first of a group means."""
    del names, random
    text_of = mentions(row)
    for group in row['coreferences']:
        first, *others = [text_of[each] for each in group['entity_ids'] if each in text_of] or ['']
        if first and others:
            yield {'text': document(row), 'mention': first, 'answer': write_spans(others)}


def disambiguation(row: Row, names: Sequence[str], random: np.random.Generator) -> Iterator[Row]:
    """Ask for the entry of a database that a mention stands for; each that is recorded is right."""
    del names, random
    asked = {}
    for part in row['entities']:
        for entry in part['normalized']:
            asked.setdefault((mention(part), part['type'], entry['db_name']), []).append(entry['db_id'])
    for (text, kind, database), ids in asked.items():
        yield {'text': document(row), 'mention': text, 'type': kind, 'database': database, 'answer': ids[0], 'answers': list(dict.fromkeys(ids))}


def choices_of(row: Row) -> list[str]:
    """Return what a question has to choose from, if anything."""
    return list(row['choices']) or (['yes', 'no'] if row['type'] == 'yesno' else [])


def questions(row: Row, names: Sequence[str], random: np.random.Generator) -> Iterator[Row]:
    """Ask a question without choices; several answers are a set."""
    del names, random
    if not choices_of(row):
        yield {'question': row['question'], 'context': row['context'] or '', 'answer': write_spans(row['answer'])}


def choices(row: Row, names: Sequence[str], random: np.random.Generator) -> Iterator[Row]:
    """Ask a question with choices, or one for yes or no."""
    del names, random
    if (options := choices_of(row)) and row['answer']:
        yield {'question': row['question'], 'context': row['context'] or '', 'options': options, 'answer': row['answer'][0]}


def labelled(fields: Mapping[str, str], row: Row, names: Sequence[str], random: np.random.Generator) -> Iterator[Row]:
    """Ask for the label of a row, of all that there are.

    Args:
        fields: {field of the task: field of the row}.
        row: the row.
        names: the labels.
        random: unused.
    """
    del random
    label = str(row['label'])
    if not are_ratings(names):
        options = [*names, *([] if label in names else [label])]
        yield {ours: row[theirs] for ours, theirs in fields.items()} | {'options': options, 'answer': label}


def rated(row: Row, names: Sequence[str], random: np.random.Generator) -> Iterator[Row]:
    """Ask for a rating of how alike two texts are."""
    del random
    if are_ratings(names):
        yield {'first': row['text_1'], 'second': row['text_2'], 'answer': str(row['label'])}


def are_ratings(names: Sequence[str]) -> bool:
    """Return whether labels are numbers with fractions."""
    return any('.' in name for name in names) and all(NUMBER.fullmatch(name) for name in names)


def texts(row: Row, names: Sequence[str], random: np.random.Generator) -> Iterator[Row]:
    """Ask for all labels of a text."""
    del random
    yield {'text': row['text'], 'labels': ', '.join(names), 'answer': write_spans(row['labels'])}


def rewritten(row: Row, names: Sequence[str], random: np.random.Generator) -> Iterator[Row]:
    """Ask for the second text."""
    del names, random
    yield {'text': row['text_1'], 'from': row['text_1_name'], 'to': row['text_2_name'], 'answer': row['text_2']}


def label_of(row: Row) -> Sequence[str]:
    """Return the label of a row as a list."""
    return [str(row['label'])]


TASKS: dict[str, Task] = {
    'ner': Task(
        'kb',
        'bigbio:ner',
        functools.partial(types_of, 'entities'),
        entities,
        (
            Template('{text}\n\nWhich mentions of the type {type} are in this text?'),
            Template('Name all of the kind {type} in the text.\n{text}'),
            Template('Text: {text}\nType: {type}\nMentions:'),
        ),
    ),
    'ned': Task(
        'kb',
        'bigbio:ned',
        no_names,
        disambiguation,
        (
            Template('{text}\n\nWhich entry of {database} does "{mention}" stand for here?'),
            Template('Look up "{mention}", a {type}, in {database}.\n{text}'),
            Template('Text: {text}\nMention: {mention}\n{database}:'),
        ),
    ),
    're': Task(
        'kb',
        'bigbio:re',
        functools.partial(types_of, 'relations'),
        relations,
        (
            Template('{text}\n\nBetween which pairs does the text tell of the relation {type}?'),
            Template('Find the pairs in the relation {type}.\n{text}'),
            Template('Text: {text}\nRelation: {type}\nPairs:'),
        ),
    ),
    'ee': Task(
        'kb',
        'bigbio:ee',
        functools.partial(types_of, 'events'),
        events,
        (
            Template('{text}\n\nWhich events of the type {type} happen, and who or what plays a role in them?'),
            Template('List the events of the kind {type} with their arguments.\n{text}'),
            Template('Text: {text}\nEvent: {type}\nFound:'),
        ),
    ),
    'coref': Task(
        'kb',
        'bigbio:coref',
        no_names,
        coreferences,
        (
            Template('{text}\n\nWhat else in this text means the same as "{mention}"?'),
            Template('Find the other words for "{mention}".\n{text}'),
            Template('Text: {text}\nMention: {mention}\nThe same:'),
        ),
    ),
    'qa': Task(
        'qa',
        'bigbio:qa',
        no_names,
        questions,
        (
            Template('{context}\n\n{question}'),
            Template('Question: {question}\nText: {context}\nAnswer:'),
            Template('Answer by this text: {context}\n{question}'),
        ),
    ),
    'choice': Task(
        'qa',
        'bigbio:qa',
        no_names,
        choices,
        (
            Template('{context}\n\n{question}\n{options_}'),
            Template('Question: {question}\nText: {context}\n{options_}'),
            Template('Choose by this text: {context}\n{question}\n{options_}'),
        ),
        'accuracy',
    ),
    'te': Task(
        'te',
        'nli',
        label_of,
        functools.partial(labelled, {'premise': 'premise', 'hypothesis': 'hypothesis'}),
        (
            Template('{premise}\n\nIs this then true? {hypothesis}\n{options_}'),
            Template('Premise: {premise}\nHypothesis: {hypothesis}\nHow do they relate?\n{options_}'),
            Template('Given "{premise}", judge "{hypothesis}".\n{options_}'),
        ),
        'accuracy',
    ),
    'pairs': Task(
        'pairs',
        'paraphrase',
        label_of,
        functools.partial(labelled, {'first': 'text_1', 'second': 'text_2'}),
        (
            Template('{first}\n{second}\n\nHow do these two relate?\n{options_}'),
            Template('Text 1: {first}\nText 2: {second}\nLabel:\n{options_}'),
            Template('Compare "{first}" with "{second}".\n{options_}'),
        ),
        'accuracy',
    ),
    'sts': Task(
        'pairs',
        'paraphrase',
        label_of,
        rated,
        (
            Template('{first}\n{second}\n\nHow alike are these two, as a number?'),
            Template('Text 1: {first}\nText 2: {second}\nSimilarity:'),
            Template('Rate how alike "{first}" and "{second}" are.'),
        ),
        'pearson',
    ),
    't2t': Task(
        't2t',
        'bigbio:t2t',
        no_names,
        rewritten,
        (
            Template('{text}\n\nTurn this from {from} into {to}.'),
            Template('{from}: {text}\n{to}:'),
            Template('Write as {to} what stands here as {from}: {text}'),
        ),
        't5_rouge',
    ),
    'text': Task(
        'text',
        'bigbio:text',
        lambda row: row['labels'],
        texts,
        (
            Template('{text}\n\nWhich labels fit this text?\nSome of: {labels}'),
            Template('Text: {text}\nLabels, of {labels}:'),
            Template('Sort this text under {labels}: {text}'),
        ),
    ),
}


def data_sets(
    name: str,
    schema: str,
    source: Source,
    *,
    tasks: Sequence[str] | None = None,
    splits: Splits = EVERYTHING,
    metric: str | None = None,
    lineage: tuple[str, ...] = (),
    licence: str = '',
    link: str = '',
) -> tuple[DatasetSpec, ...]:
    """Make the data sets of rows in a schema, NAME_TASK.

        data_sets('bc5cdr', 'kb', HuggingFace('bigbio/bc5cdr', 'bc5cdr_bigbio_kb', revision='...'), tasks=('ner', 're'))

    Args:
        name: begins their names.
        schema: one of `SCHEMAS`.
        source: of the rows, as BigBio's loaders give them.
        tasks: some of the schema's tasks; by default all.
        splits: the source's splits.
        metric: in place of the tasks' own, such as `sacrebleu_intl` for a translation in `t2t`.
        lineage: the corpora that the text descends from.
        licence: the publisher's terms, in short.
        link: the data set's page.

    Raises:
        ValueError: there is no such schema, or a task that it does not have.
    """
    allowed = [task for task, each in TASKS.items() if each.schema == schema]
    if not allowed or not set(tasks or allowed) <= set(allowed):
        raise ValueError(
            f'{name!r} got the schema {schema!r} with tasks={tasks}; expected one of {", ".join(SCHEMAS)}'
            + (f', and some of its tasks {", ".join(allowed)}' if allowed else '')
        )
    return tuple(
        DatasetSpec(
            name=f'{name}_{task}',
            cluster=TASKS[task].cluster,
            source=InSchema(source, task, splits.train or splits.validation or splits.test),
            fields=dict,
            templates=TASKS[task].templates,
            metric=metric or TASKS[task].metric,
            splits=splits,
            family=name,
            lineage=lineage or (name,),
            licence=licence,
            link=link,
        )
        for task in tasks or allowed
    )


@dataclasses.dataclass(frozen=True)
class InSchema:
    """A source of the questions of a task, made of rows in its schema.

    Args:
        source: of the rows.
        task: a name in `TASKS`.
        named: the split whose types and labels are those of the data set.
    """

    source: Source
    task: str
    named: str

    def rows(self, split: str) -> Iterator[Row]:
        """Make the questions of a split of documents; see `specs.Source`."""
        task, names = TASKS[self.task], names_of(self)
        for number, row in enumerate(self.source.rows(split)):
            with in_schema(task, split, number, row):
                made = list(task.make(row, names, denoising.generator(0, f'{self.task}/{split}', number)))
            yield from made

    def version(self) -> str:
        """Identify the rows and how questions are made of them."""
        return f'{self.source.version()} {fingerprints.of(*TASKS[self.task], self.named)}'


@contextlib.contextmanager
def in_schema(task: Task, split: str, number: int, row: Row) -> Iterator[None]:
    """Make a `ValueError` that names the row of what is raised where it is not in the schema."""
    try:
        yield
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f'{split} row {number} is not in the schema {task.schema!r}: {type(error).__name__}: {error}; expected the fields of '
            f"BigBio's schema, the row has {', '.join(map(str, row))}"
        ) from error


@functools.lru_cache(maxsize=64)
def names_of(source: InSchema) -> tuple[str, ...]:
    """Return the types or labels of a data set, in the order of their letters."""
    task = TASKS[source.task]
    if task.names is no_names:
        return ()
    found: set[str] = set()
    for number, row in enumerate(source.source.rows(source.named)):
        with in_schema(task, source.named, number, row):
            found.update(task.names(row))
    return tuple(sorted(found))
