"""Reading comprehension: questions about a short story."""

from flanlite.data.specs.sources import InMemory
from flanlite.data.specs.specs import DatasetSpec, Row
from flanlite.data.specs.templates import Template
from flanlite.mixtures.pocket.world import QUESTIONS, World, all_values, answer_text, rows


def story_question(world: World) -> Row:
    """Draw a row such as 'Tom found a red ball in the park. Mia went to the farm at noon.' and 'Where did Mia go?': the farm."""
    events = world.story(world.pick((2, 2, 3)))
    event = world.pick(events)
    aspect = world.pick(tuple(QUESTIONS[event.kind]))
    answer = answer_text(event, aspect)
    told = [
        answer_text(other, known)
        for other in events
        for known in ([aspect] if aspect not in ('who', 'other') else ['who', 'other'])
        if known in QUESTIONS[other.kind]
    ]
    return {
        'story': ' '.join(world.tell(other) for other in events),
        'question': world.ask(event, aspect),
        'options': world.options(answer, [*told, *all_values(world, aspect)], 3),
        'answer': answer,
    }


def yes_no(world: World) -> Row:
    """Draw a row such as 'Tom found a red ball in the park. Mia went to the farm.' and 'Did Tom find a blue ball in the park?': no."""
    events = world.story(2)
    event = world.pick(events)
    label = world.pick((0, 1))
    aspects = {'act': ('who', 'verb', 'colour', 'thing', 'place'), 'give': ('who', 'other', 'colour', 'thing')}.get(
        event.kind, ('who', 'place')
    )
    asked = world.change(event, world.pick(aspects)) if label else event
    return {'story': ' '.join(world.tell(other) for other in events), 'question': world.ask_yes_no(asked), 'label': label}


STORIES = DatasetSpec(
    name='pocket_stories',
    cluster='reading_comprehension',
    source=InMemory(rows('pocket_stories', story_question)),
    fields=lambda row: {'story': row['story'], 'question': row['question'], 'options': row['options'], 'answer': row['answer']},
    lineage=('pocket world',),
    licence='Apache-2.0',
    templates=(
        Template('{story}\n\n{question}\n\n{options_}'),
        Template('Read the story and answer the question.\n\nStory: {story}\nQuestion: {question}\n{options_}'),
        Template('First the question: {question} You find the answer in this text: {story}\n{options_}'),
        Template('Text: {story}\n\nQuestion: {question}\nAnswer:'),
        Template('Teacher: Listen. {story}\nTeacher: Now tell me: {question}\n{options_}'),
        Template('Which of the options is the right answer to "{question}", if one has read this? {story}\n{options_}'),
        Template('{story} Given this story, {question}'),
        Template('Test of reading\n\n{story}\n\n1. {question}\n{options_}'),
        Template('{story}\nThink of a question about this story, with the answer "{answer}".', '{question}', inverted=True),
        Template('Tell a story. One should be able to ask: "{question}" and be told: "{answer}".', '{story}', inverted=True),
    ),
    baselines=(Template('{story} {question}'), Template('{story} "{question}"'), Template('{story} {question} It was')),
)

YES_NO = DatasetSpec(
    name='pocket_story_yes_no',
    cluster='reading_comprehension',
    source=InMemory(rows('pocket_story_yes_no', yes_no)),
    fields=lambda row: {'story': row['story'], 'question': row['question'], 'answer': row['label']},
    options=('yes', 'no'),
    lineage=('pocket world',),
    licence='Apache-2.0',
    templates=(
        Template('{story}\n\n{question}\n{options_}'),
        Template('Story: {story}\nQuestion: {question}\nWhat is the correct answer?\n{options_}'),
        Template('Someone who has read "{story}" is asked: {question} What will the reply be?\n{options_}'),
        Template('{question} Look it up in the passage.\n\nPassage: {story}\n{options_}'),
        Template('Ruth tells her father what happened: "{story}" He asks: "{question}" She says:\n{options_}'),
        Template('Answer by the text alone.\n\n{story}\n\n{question}\n\n{options_}'),
        Template('Based on the following, {question} {story}'),
        Template('Q: {question}\nSource: {story}\n{options_}\nA:'),
        Template('{story}\nWhat could one ask about it to hear "{answer}"?', '{question}', inverted=True),
        Template('Write a passage. "{question}" should be answered by it with "{answer}".', '{story}', inverted=True),
    ),
    baselines=(Template('{story} {question}'), Template('{story} "{question}"'), Template('{story} {question} Ben said')),
)

SPECS = (STORIES, YES_NO)
