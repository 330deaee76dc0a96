"""Natural language inference: does one statement follow from others?"""

from flanlite.data.specs.sources import InMemory
from flanlite.data.specs.specs import DatasetSpec, Row
from flanlite.data.specs.templates import Template
from flanlite.mixtures.pocket.world import World, article, rows


def entail(world: World) -> Row:
    """Draw a row such as 'Tom found a red ball in the park. Mia met Ben.' and 'A red ball was found by Tom in the park.': yes."""
    events = world.story(2)
    told = [world.tell(event) for event in events]
    chosen = world.pick((0, 1))
    label = world.pick((0, 1))
    event = world.change(events[chosen]) if label else events[chosen]
    return {'premise': ' '.join(told), 'hypothesis': world.retell(event, told[chosen]), 'label': label}


def three_way(world: World) -> Row:
    """Draw a row such as 'Tom found a red ball in the park.' and 'Tom did not find a red ball in the park.': no."""
    event = world.event(world.pick(('act', 'go', 'give')))
    told = world.tell(event)
    label = world.pick((0, 1, 2))
    if label == 0:
        hypothesis = world.retell(event, told)
    elif label == 1 and event.kind == 'go':
        hypothesis = f'{event.who} did not go to the {event.place}.'
    elif label == 1 and world.chance(0.5):
        hypothesis = world.retell(world.change(event, 'colour'), told)
    elif label == 1:
        hypothesis = f'There was no {event.thing} {event.where}.'
    else:
        other = world.event(but=[event.who])
        hypothesis = world.pick(
            (
                f'{event.who} has {article(other.what)} at home.',
                f'{event.who} often meets {other.who} {other.where}.',
                f'{event.who} was {other.where} {other.time}, too.',
                f'{event.who} will go to the {other.place} with {other.who}.',
            )
        )
    return {'premise': told, 'hypothesis': hypothesis, 'label': label}


ENTAIL = DatasetSpec(
    name='pocket_entail',
    cluster='nli',
    source=InMemory(rows('pocket_entail', entail)),
    fields=lambda row: {'premise': row['premise'], 'hypothesis': row['hypothesis'], 'answer': row['label']},
    options=('yes', 'no'),
    lineage=('pocket world',),
    licence='Apache-2.0',
    templates=(
        Template('{premise}\n\nDoes it follow that "{hypothesis}"?\n\n{options_}'),
        Template('Premise: {premise}\nHypothesis: {hypothesis}\nDoes the premise entail the hypothesis?\n\n{options_}'),
        Template('Read the text and say whether the statement under it is true.\n\n{premise}\n\nStatement: {hypothesis}\n{options_}'),
        Template('If we know that {premise}\ncan we be sure that {hypothesis}\n{options_}'),
        Template('{premise} Having read this, would you agree with the sentence "{hypothesis}"?\n{options_}'),
        Template('Exam question. Decide if the claim is right.\nText: {premise}\nClaim: {hypothesis}\n{options_}'),
        Template('Anna: {premise}\nBen: So then {hypothesis}\nIs Ben right?\n{options_}'),
        Template('Can we draw the conclusion "{hypothesis}" from these facts? {premise}'),
        Template(
            'Write one sentence. It should get the answer "{answer}" when we ask if it follows from this text: {premise}',
            '{hypothesis}',
            inverted=True,
        ),
        Template(
            'Make up a short text, for which "Does it follow that {hypothesis}" is answered with "{answer}".', '{premise}', inverted=True
        ),
    ),
    baselines=(
        Template('{premise} {hypothesis}'),
        Template('{premise} Is it true that {hypothesis}'),
        Template('{premise} "{hypothesis} Is it so?"'),
    ),
)

THREE_WAY = DatasetSpec(
    name='pocket_nli3',
    cluster='nli',
    source=InMemory(rows('pocket_nli3', three_way)),
    fields=lambda row: {'premise': row['premise'], 'hypothesis': row['hypothesis'], 'answer': row['label']},
    options=('yes', 'no', 'maybe'),
    lineage=('pocket world',),
    licence='Apache-2.0',
    templates=(
        Template('{premise} Is it then true that {hypothesis}\n\n{options_}'),
        Template('Suppose that this happened: {premise} What about this: {hypothesis} Is it so?\n{options_}'),
        Template('Text: {premise}\n\nSentence: {hypothesis}\n\nIs the sentence true, given the text?\n{options_}'),
        Template('{options_}\nWhich of these is the best answer to "Is it true that {hypothesis}", when all you know is this: {premise}'),
        Template('"{premise}" That is what I heard. Do you think that {hypothesis}\n{options_}'),
        Template('Here are two sentences.\n1. {premise}\n2. {hypothesis}\nDoes the first make the second true?\n{options_}'),
        Template('Select the correct reply.\nFact: {premise}\nAsked: is it the case that {hypothesis}\n{options_}'),
        Template('Judge the statement "{hypothesis}" by this report: {premise}\n{options_}'),
        Template('Given that {premise} could one say: {hypothesis}'),
        Template('We know: {premise} Tell me something that is "{answer}" if this is all we know.', '{hypothesis}', inverted=True),
    ),
    baselines=(
        Template('{premise} {hypothesis}'),
        Template('{premise} Is it true that {hypothesis}'),
        Template('{premise} "{hypothesis} Is it so?"'),
    ),
)

SPECS = (ENTAIL, THREE_WAY)
