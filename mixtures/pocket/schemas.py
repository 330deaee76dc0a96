"""The pocket world in BigBio's schemas: what each schema's recipe makes of rows in it."""

from flanlite.data.specs.collection import Collection
from flanlite.data.specs.sources import InMemory
from flanlite.data.specs.specs import Row
from flanlite.mixtures.bigbio.schemas import data_sets
from flanlite.mixtures.pocket import nli, paraphrase, reading_comprehension, sentiment, translation
from flanlite.mixtures.pocket.world import Event, World, rows, sentence


def document(world: World) -> Row:
    """Draw a document with its annotations: who did what where, and who "he" or "she" is."""
    text, entities, events, relations, groups = '', [], [], [], []
    for event in world.story(2):
        told = world.tell(event)
        he = world.pronoun(event.who)
        told += f' {sentence(he)} was tired.' if world.chance(0.5) and not event.other else ''
        start = len(text) + bool(text)
        text = f'{text} {told}'.strip()
        found = {role: annotate(text, start, mention, kind, len(entities) + number) for number, (role, kind, mention) in enumerate(named(event, told))}
        entities += found.values()
        if 'place' in found:
            relations.append({'id': f'r{len(relations)}', 'type': 'was at', 'arg1_id': found['who']['id'], 'arg2_id': found['place']['id'], 'normalized': []})
        if told.endswith('was tired.'):
            again = annotate(text, text.rindex(sentence(he)), sentence(he), 'person', len(entities))
            entities.append(again)
            groups.append({'id': f'c{len(groups)}', 'entity_ids': [found['who']['id'], again['id']]})
        if event.kind == 'give':
            trigger = annotate(text, start, next(verb for verb in ('gave', 'given', 'got') if verb in told), '', 0)
            arguments = [{'role': role, 'ref_id': found[name]['id']} for role, name in (('giver', 'who'), ('receiver', 'other'), ('gift', 'thing'))]
            events.append({'id': f'e{len(events)}', 'type': 'giving', 'trigger': {'text': trigger['text'], 'offsets': trigger['offsets']}, 'arguments': arguments})
    passage = {'id': 'p0', 'type': 'story', 'text': [text], 'offsets': [[0, len(text)]]}
    return {'id': '', 'document_id': '', 'passages': [passage], 'entities': entities, 'events': events, 'coreferences': groups, 'relations': relations}


def named(event: Event, told: str) -> list[tuple[str, str, str]]:
    """Return (role, type, mention) of what a sentence names."""
    mentions = (
        ('who', 'person', event.who),
        ('other', 'person', event.other),
        ('thing', 'thing', event.what if event.thing and event.colour else ''),
        ('place', 'place', f'the {event.place}' if event.place else ''),
    )
    return [(role, kind, mention) for role, kind, mention in mentions if mention and mention in told]


def annotate(text: str, start: int, mention: str, kind: str, number: int) -> Row:
    """Annotate a mention behind a place in a text."""
    at = text.index(mention, start)
    return {'id': f't{number}', 'type': kind, 'text': [mention], 'offsets': [[at, at + len(mention)]], 'normalized': []}


def texts(split: str) -> list[Row]:
    """Return reviews in the schema `text`."""
    return [{'text': row['review'], 'labels': [('positive', 'negative')[row['label']]]} for row in sentiment.REVIEWS.source.rows(split)]


def questions(split: str) -> list[Row]:
    """Return questions about stories in the schema `qa`."""
    return [
        {'question': row['question'], 'context': row['story'], 'type': 'multiple_choice', 'choices': row['options'], 'answer': [row['answer']]}
        for row in reading_comprehension.STORIES.source.rows(split)
    ]


def entailments(split: str) -> list[Row]:
    """Return premises and hypotheses in the schema `te`."""
    return [
        {'premise': row['premise'], 'hypothesis': row['hypothesis'], 'label': nli.THREE_WAY.options[row['label']]}
        for row in nli.THREE_WAY.source.rows(split)
    ]


def pairs(split: str) -> list[Row]:
    """Return pairs of sentences in the schema `pairs`."""
    return [
        {'text_1': row['first'], 'text_2': row['second'], 'label': ('same', 'different')[row['label']]}
        for row in paraphrase.SENTENCES.source.rows(split)
    ]


def translations(split: str) -> list[Row]:
    """Return sentences in English and Talo in the schema `t2t`."""
    return [
        {'text_1': row['talo'], 'text_2': row['english'], 'text_1_name': 'Talo', 'text_2_name': 'English'}
        for row in translation.FROM_TALO.source.rows(split)
    ]


# schema -> what gives its rows
ROWS = {
    'kb': rows('pocket_kb', document),
    'qa': questions,
    'te': entailments,
    'pairs': pairs,
    't2t': translations,
    'text': texts,
}
ASKED = {'kb': ('ner', 're', 'ee', 'coref'), 'qa': ('choice',), 'pairs': ('pairs',)}  # by default all

COLLECTION = Collection(
    'pocket_bigbio',
    tuple(
        spec
        for schema, make in ROWS.items()
        for spec in data_sets(
            'pocket_bigbio',
            schema,
            InMemory(make, f'the pocket world in the schema {schema}'),
            tasks=ASKED.get(schema),
            metric='sacrebleu_intl' if schema == 't2t' else None,
            lineage=('pocket world',),
            licence='Apache-2.0',
        )
    ),
    vocabulary='pocket',
    templates=3,
)
NAMED_ENTITIES = COLLECTION.by_name['pocket_bigbio_ner']
