"""Multiple-choice questions on daily life and on reading: the data sets of T0 that FLAN lacks. Those on science are in `science_qa`."""

from flanlite.data.specs import text
from flanlite.data.specs.sources import HuggingFace, Tfds
from flanlite.data.specs.specs import DatasetSpec, Splits
from flanlite.data.specs.templates import Template
from flanlite.mixtures.t0.groups import PARQUET

SHOWN = 400  # characters of each of WikiHop's documents that are shown; there may be sixty, which would not fit into the inputs
TOTAL = 4_000
LETTERS = ('A', 'B', 'C', 'D')
NOT_BLANK = r'(?s).*\S.*'

# CoS-E: everyday questions of CommonsenseQA, with people's reasons for the answer.
#     question     Where would you leave a wet umbrella?
#     options      hallway / pillow / oven / library book / orchard
#     answer       hallway
#     explanation  Drops on the floor of a hallway do no harm.
COS_E = DatasetSpec(
    name='cos_e',
    cluster='commonsense',
    source=Tfds('cos_e:0.0.1'),
    splits=Splits('train', 'validation', None),
    fields=lambda row: {
        'question': row['question'],
        'explanation': text.strip(row['abstractive_explanation']),
        'options': row['choices'],
        'answer': row['answer'],
    },
    keep=lambda row: text.matches(row['abstractive_explanation'], NOT_BLANK),
    lineage=('CommonsenseQA', 'ConceptNet'),
    licence='BSD-3-Clause, CommonsenseQA MIT',
    link='https://github.com/salesforce/cos-e',
    train_examples=9_741,
    validation_examples=1_221,
    templates=(
        Template('{question}\n\nEverybody knows the answer without having to look it up. Which is it?\n{options_}'),
        Template('Use common sense, and nothing more, to pick a reply.\n\nQuestion: {question}\n{options_}\nReply:'),
        Template('A child asks me: "{question}" I could say any of these.\n{options_}\nOnly one is sensible:'),
        Template('{options_}\n\nOne of the entries above settles this: {question}'),
        Template('"{question}" People answered "{answer}". Give the reason they may have had, in one sentence.',
                 '{explanation}', inverted=True),
        Template('Quiz master: {question}\nTeam: What are we allowed to say?\nQuiz master:\n{options_}\nTeam, after a short whisper:'),
    ),
    baselines=(
        Template('question: {question}\nanswer:'),
        Template('{question}'),
    ),
)

# DREAM: questions about a conversation, from examinations in English as a foreign language.
#     dialogue  W: Did you return the ladder?
#               M: I would have, but the miller was at market. I shall try again tomorrow.
#     question  What will the man do tomorrow?
#     options   Go to market. / Return the ladder. / Visit the woman.
#     answer    Return the ladder.
DREAM = DatasetSpec(
    name='dream',
    cluster='conversational_qa',
    source=HuggingFace('dataset-org/dream', revision=PARQUET, folder='dream'),
    fields=lambda row: {
        'dialogue': text.join(row['dialogue'], '\n'),
        'question': row['question'],
        'options': row['choice'],
        'answer': row['answer'],
    },
    lineage=('DREAM',),
    licence='non-commercial research',
    link='https://dataset.org/dream/',
    train_examples=6_116,
    validation_examples=2_040,
    test_examples=2_041,
    templates=(
        Template('{dialogue}\n\n{question}\n{options_}'),
        Template('Listening test. You hear the following conversation once.\n\n{dialogue}\n\nNow choose: {question}\n\n{options_}'),
        Template('I overheard this on the bus.\n\n{dialogue}\n\nMy friend, who only heard half of it, asks "{question}" '
                 'What do I tell her?\n{options_}'),
        Template('Find out from what the speakers say which choice is right.\n\nQuestion: {question}\n{options_}\n\nSpeakers:\n{dialogue}'),
        Template('Write a short conversation, with a letter for each speaker. After it, a listener who is asked "{question}" should be '
                 'able '
                 'to say: "{answer}"', '{dialogue}', inverted=True),
        Template('Transcript\n----------\n{dialogue}\n----------\nQuery: {question}\nAnswer, in the words of one of the lines below:\n'
                 '{options_}'),
    ),
    baselines=(
        Template('{dialogue}\nquestion: {question}\nanswer:'),
        Template('{dialogue}\nQ: {question}\nA:'),
    ),
)

# QuAIL: long passages (stories, blogs, news, advice) and questions of many kinds, some of which the passage leaves open.
#     context   Edda had promised to be home by six. At seven she was still on the quay, counting crates.
#     question  Why is Edda probably late?
#     options   She lost her way / Her work took longer / not enough information / She missed the boat
#     answer    Her work took longer
QUAIL = DatasetSpec(
    name='quail',
    cluster='reading_comprehension_commonsense',
    source=HuggingFace('textmachinelab/quail', revision=PARQUET, folder='quail'),
    splits=Splits('train', 'validation', None),
    fields=lambda row: {
        'context': text.strip(row['context']),
        'question': row['question'],
        'options': row['answers'],
        'answer': row['correct_answer_id'],
    },
    lineage=('QuAIL',),
    licence='CC BY-NC-SA 4.0',
    link='https://text-machine.cs.uml.edu/lab2/projects/quail/',
    train_examples=10_246,
    validation_examples=2_164,
    templates=(
        Template('{context}\n\n{question}\n\n{options_}\n\nMind that the text may not tell.'),
        Template('Study the passage. Then mark the one reply that it bears out, be it directly or between the lines.\n\nPassage: '
                 '{context}\n'
                 'Question: {question}\n{options_}'),
        Template('Four readers of the same page were asked: "{question}" Their replies:\n{options_}\nThe page:\n{context}\n\n'
                 'Who read it properly? Repeat what they said.'),
        Template('Book club, notes\n* what we read: {context}\n* what somebody wondered: {question}\n* what could be meant:\n{options_}\n'
                 '* what we agreed on:'),
        Template('{context}\n\nSet a question about this passage to which the answer is "{answer}".', '{question}', inverted=True),
    ),
    baselines=(
        Template('{context}\nquestion: {question}\nanswer:'),
        Template('{context}\nQ: {question}\nA:'),
    ),
)

# Social IQa: what people do, want and feel in everyday situations.
#     context   Jon lent his last dry coat to a stranger on the ferry.
#     question  How would the stranger feel?
#     options   thankful / cheated / sleepy
#     answer    thankful
SOCIAL_I_QA = DatasetSpec(
    name='social_i_qa',
    cluster='commonsense',
    source=HuggingFace('allenai/social_i_qa', revision=PARQUET),
    splits=Splits('train', 'validation', None),
    fields=lambda row: {
        'context': row['context'],
        'question': row['question'],
        'options': [row['answerA'], row['answerB'], row['answerC']],
        'answer': text.index(('1', '2', '3'), text.strip(row['label'])),
    },
    lineage=('Social IQa', 'ATOMIC'),
    licence='CC BY 4.0',
    link='https://leaderboard.allenai.org/socialiqa/',
    train_examples=33_410,
    validation_examples=1_954,
    templates=(
        Template('{context} {question}\n{options_}'),
        Template('Put yourself in the place of these people. {context}\n\nNow say: {question}\n\n{options_}'),
        Template('Something happened: {context}\nSomebody is curious: {question}\nYou know how people are. Which is '
                 'likeliest?\n{options_}'),
        Template('Aunt Ida: Have you heard? {context}\nUncle Tom: {question}\nAunt Ida: One of these, I should think.\n{options_}\n'
                 'Uncle Tom: Then it must be'),
        Template('{options_}\n\nSomebody asked "{question}" and could imagine these three replies. The story behind it is '
                 'short: {context} Which one would you bet on?'),
        Template('{context}\n\nWhat may one ask about this, so that the reply is "{answer}"?', '{question}', inverted=True),
    ),
    baselines=(
        Template('{context}\nquestion: {question}\nanswer:'),
        Template('{context} {question}'),
    ),
)

# WikiHop: a property of a thing, to be found by following several documents of Wikipedia.
#     query       located_in skerry point
#     candidates  harrow / northern isles / tolland
#     supports    Skerry Point is a headland of Stennay. / Stennay is one of the Northern Isles. / ...
#     answer      northern isles
WIKI_HOP = DatasetSpec(
    name='wiki_hop',
    cluster='reading_comprehension',
    source=HuggingFace('community-datasets/qangaroo', 'wikihop', folder='wiki_hop'),
    splits=Splits('train', 'validation', None),
    fields=lambda row: {
        'relation': text.replace(text.substitute(row['query'], r'(?s) .*', ''), '_', ' '),
        'subject': text.strip(text.substitute(row['query'], r'^\S+ ', '')),
        'documents': text.part(text.join(text.part(row['supports'], 0, SHOWN), '\n'), 0, TOTAL),
        'options': row['candidates'],
        'answer': row['answer'],
    },
    keep=lambda row: text.matches(row['query'], r'(?s)\S+ .*\S.*'),
    lineage=('WikiHop', 'Wikidata'),
    licence='CC BY-SA 3.0',
    link='https://qangaroo.cs.ucl.ac.uk',
    train_examples=43_738,
    validation_examples=5_129,
    templates=(
        Template('{documents}\n\nAccording to these extracts, what is the "{relation}" of {subject}?\n{options_}'),
        Template('Fill the last cell of the table with one of the choices. The extracts below it will help, though it takes more than '
                 'one.\n\n'
                 'thing: {subject}\nproperty: {relation}\nvalue: ?\n\n{options_}\n\n{documents}'),
        Template('Follow the trail from one note to the next until you know the following about {subject}: '
                 '{relation}.\n\nNotes:\n{documents}'
                 '\n\n{options_}'),
        Template('Subject: {subject}\nRelation: {relation}\nObject: one of these\n{options_}\n\nEvidence\n{documents}\n\nObject:'),
        Template('{documents}\n\nTell me about {subject}. I am filling in a form and have come to "{relation}", where it offers me this.\n'
                 '{options_}'),
        Template('{documents}\n\nSomething in these extracts has the property "{relation}: {answer}". Who or what is it?',
                 '{subject}', inverted=True),
    ),
    baselines=(
        Template('{documents}\n{subject}, {relation}:'),
        Template('{documents}\nquestion: {relation} of {subject}?\nanswer:'),
    ),
)

# RACE: examinations in English for Chinese pupils, of middle and of high school.
#     article   Few people know that the lighthouse once had a garden. Its keeper grew beans between the rocks ...
#     question  The keeper planted beans because _ .
#     options   she liked the look of them / no boat came in winter / the soil was rich / a visitor asked for them
#     answer    no boat came in winter
RACE_TEMPLATES = (
    Template('{article}\n\n{question}\n{options_}'),
    Template('English examination, reading. Read the article, then choose how the item is best answered or filled in.\n\n{article}\n\n'
             'Item: {question}\n\n{options_}'),
    Template('My pupils had trouble with one item, "{question}", although the article was not hard. Their choices were\n{options_}\n'
             'and the article was\n{article}\n\nWhat should they have chosen?'),
    Template('Before you read, keep this in mind: {question}\n{options_}\n\nArticle: {article}\n\nSo?'),
    Template('Teacher: You have all read this. "{article}" Next item: {question}\nPupil: May I see the choices again?\n'
             'Teacher:\n{options_}\nPupil:'),
    Template('You write tests of reading. Write one item, a question or a sentence with a blank, on the article below. The right choice is '
             'to be "{answer}".\n\n{article}', '{question}', inverted=True),
)  # fmt: skip


def race(level: str, examples: tuple[int, int, int]) -> DatasetSpec:
    """Make the data set of one of RACE's two halves; TFDS has one article per row, the hub one question per row."""
    return DatasetSpec(
        name=f'race_{level}',
        cluster='reading_comprehension',
        source=HuggingFace('ehovy/race', level, folder=f'race_{level}'),
        fields=lambda row: {
            'article': text.strip(row['article']),
            'question': row['question'],
            'options': row['options'],
            'answer': text.index(LETTERS, row['answer']),
        },
        family='race',
        lineage=('RACE',),
        licence='non-commercial research',
        link='https://www.cs.cmu.edu/~glai1/data/race/',
        train_examples=examples[0],
        validation_examples=examples[1],
        test_examples=examples[2],
        templates=RACE_TEMPLATES,
        baselines=(
            Template('{article}\nquestion: {question}\nanswer:'),
            Template('{article}\n{question}'),
        ),
    )


RACE_HIGH = race('high', (62_445, 3_451, 3_498))
RACE_MIDDLE = race('middle', (25_421, 1_436, 1_436))

SPECS = (COS_E, DREAM, QUAIL, SOCIAL_I_QA, WIKI_HOP, RACE_HIGH, RACE_MIDDLE)
