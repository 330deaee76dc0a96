"""Multiple-choice questions on science: the data sets of T0 that FLAN lacks. T0 counts them with `multiple_choice_qa`."""

from typing import Any

from flanlite.data.specs import text
from flanlite.data.specs.sources import HuggingFace, Tfds
from flanlite.data.specs.specs import DatasetSpec, Splits
from flanlite.data.specs.templates import Template
from flanlite.mixtures.t0.groups import PARQUET

NO_SUPPORT = 'The textbook has no paragraph on this.'
LETTERS = ('A', 'B', 'C', 'D', 'E', 'F', 'G', 'H')


def placed(place: Any, right: Any, wrong: tuple[Any, Any, Any]) -> Any:
    """Return four options: the right answer at `place`, and three wrong ones."""
    first, second, third = wrong
    orders = [[right, first, second, third], [first, right, second, third], [first, second, right, third], [first, second, third, right]]
    return text.choose(place, orders)


# QASC: elementary science that takes two facts put together.
#     question  What may a boulder in a brook become over the years?
#     options   smaller / sweeter / alive / magnetic / ... (eight in all)
#     answer    smaller
#     fact      a boulder in a brook is worn down by moving water
QASC = DatasetSpec(
    name='qasc',
    cluster='closed_book_qa',
    source=Tfds('qasc:0.1.0'),
    splits=Splits('train', 'validation', None),
    fields=lambda row: {
        'question': row['question'],
        'fact': row['combinedfact'],
        'options': row['choices']['text'],
        'answer': text.index(LETTERS, row['answerKey']),
    },
    keep=lambda row: text.among(row['answerKey'], LETTERS),
    lineage=('QASC', 'WorldTree'),
    licence='CC BY 4.0',
    link='https://allenai.org/data/qasc',
    train_examples=8_134,
    validation_examples=926,
    templates=(
        Template('{question}\n\nPut together two things you learnt in science class.\n\n{options_}'),
        Template('Eight replies, one of them right. The question is: {question}\n{options_}'),
        Template('Science for beginners, page 12\nExercise: {question}\nTo choose from:\n{options_}\nSolution, at the foot of the page:'),
        Template('{options_}\nFrom this list, take what answers or completes "{question}"'),
        Template('Our class keeps a list of facts. One fact reads: {fact} Ask something that this fact answers with "{answer}".',
                 '{question}', inverted=True),
        Template('Nina is stuck on "{question}" and would like to strike out seven of these.\n{options_}\nHelp her: which one stays?'),
    ),
    baselines=(
        Template('question: {question}\nanswer:'),
        Template('{question}'),
    ),
)

# QuaRel: short stories about a quality and what depends on it, such as friction and speed.
#     question  Ann slides on the wet deck and hardly moves on the dry one. Which deck is rougher? (A) the wet one (B) the dry one
#     answer    the dry one
QUAREL = DatasetSpec(
    name='quarel',
    cluster='commonsense',
    source=HuggingFace('community-datasets/quarel', folder='quarel'),
    fields=lambda row: {
        'story': text.strip(text.substitute(row['question'], r'(?s)\(A\).*', '')),
        'options': [
            text.strip(text.substitute(row['question'], r'(?s)^.*\(A\)(.*)\(B\).*$', r'\1')),
            text.strip(text.substitute(row['question'], r'(?s)^.*\(B\)', '')),
        ],
        'answer': row['answer_index'],
    },
    keep=lambda row: text.matches(row['question'], r'(?s).*\S.*\(A\).*\S.*\(B\).*\S.*'),
    lineage=('QuaRel',),
    licence='CC BY 4.0',
    link='https://allenai.org/data/quarel',
    train_examples=1_941,
    validation_examples=278,
    test_examples=552,
    templates=(
        Template('{story}\n{options_}'),
        Template('More of one thing means more, or less, of another. Think of that, and settle this.\n\n{story}\n\n{options_}'),
        Template('Physics without numbers: {story}\n\nTwo possibilities are left:\n{options_}\nWrite down the right one.'),
        Template('Here is a little story with a question, or a gap, at its end. "{story}" It wants one of these two answers.\n{options_}'),
        Template('{options_}\n\nWhich of the two, if this is the case? {story}'),
    ),
    baselines=(
        Template('question: {story}\nanswer:'),
        Template('{story}'),
    ),
)

# QuaRTz: how one quantity changes with another, with a sentence that states the rule.
#     rule      The higher a stone has fallen from, the faster it hits the ground.
#     question  A stone that fell from the loft hits the ground ___ than one that fell from the table.
#     options   faster / more slowly
#     answer    faster
QUARTZ = DatasetSpec(
    name='quartz',
    cluster='reading_comprehension_commonsense',
    source=HuggingFace('allenai/quartz', folder='quartz'),
    fields=lambda row: {
        'rule': row['para'],
        'question': row['question'],
        'options': row['choices']['text'],
        'answer': text.index(LETTERS, row['answerKey']),
    },
    keep=lambda row: text.among(row['answerKey'], ('A', 'B')),
    lineage=('QuaRTz',),
    licence='CC BY 4.0',
    link='https://allenai.org/data/quartz',
    train_examples=2_696,
    validation_examples=384,
    test_examples=784,
    templates=(
        Template('{rule}\n\n{question}\n{options_}'),
        Template('Apply the rule to the case.\n\nRule: {rule}\nCase: {question}\n{options_}'),
        Template('It says in my schoolbook: "{rule}" From that, would you be able to tell me this? {question}\n\n{options_}'),
        Template('Case: {question}\n{options_}\nIn case of doubt, remember: {rule}'),
        Template('From general to particular\n1. {rule}\n2. {question}\n3. Choose between\n{options_}'),
        Template('The general rule is "{rule}" Make up an example with a question or a gap, for which "{answer}" is right.',
                 '{question}', inverted=True),
    ),
    baselines=(
        Template('{rule}\nquestion: {question}\nanswer:'),
        Template('{rule} {question}'),
    ),
)

# SciQ: exam questions in physics, chemistry, biology and earth science; most come with a paragraph that supports the answer.
#     question  What do plants give off when they turn light into sugar?
#     options   oxygen / helium / ash / chalk
#     answer    oxygen
#     support   In photosynthesis, plants take up carbon dioxide and water, and oxygen is set free. (empty for some questions)
SCIQ = DatasetSpec(
    name='sciq',
    cluster='closed_book_qa',
    source=HuggingFace('allenai/sciq', folder='sciq'),
    fields=lambda row: {
        'question': row['question'],
        'support': text.choose(text.length(text.strip(row['support'])) > 0, (NO_SUPPORT, text.strip(row['support']))),
        'options': placed(
            text.length(row['question']) % 4, row['correct_answer'], (row['distractor1'], row['distractor2'], row['distractor3'])
        ),
        'answer': row['correct_answer'],
    },
    lineage=('SciQ',),
    licence='CC BY-NC 3.0',
    link='https://allenai.org/data/sciq',
    train_examples=11_679,
    validation_examples=1_000,
    test_examples=1_000,
    templates=(
        Template('{question}\n\nOnly one of the following is right.\n{options_}'),
        Template('{support}\n\nScience test: {question}\n{options_}'),
        Template('Give the scientific term, or the fact, that is asked for: {question}'),
        Template('Question from the textbook: {question}\nBox of answers:\n{options_}\nCopy the one that fits.'),
        Template('{support}\n\n---\nTutor: Any questions on the paragraph?\nStudent: {question}\nTutor: Choose for yourself.\n{options_}\n'
                 'Student:'),
        Template('Examiners need a question whose answer is "{answer}". Write it for them.', '{question}', inverted=True),
    ),
    baselines=(
        Template('question: {question}\nanswer:'),
        Template('{support}\nQ: {question}\nA:'),
    ),
)

# WIQA: what effect a change has on a process that is described step by step.
#     steps     Snow falls on the hills. In spring it melts. The brook fills. The mill wheel turns.
#     question  suppose the winter is without snow happens, how will it affect the wheel turning.
#     answer    less
WIQA = DatasetSpec(
    name='wiqa',
    cluster='reading_comprehension_commonsense',
    source=HuggingFace('allenai/wiqa', revision=PARQUET, folder='wiqa'),
    fields=lambda row: {
        'steps': text.join(row['question_para_step'], ' '),
        'first': row['question_para_step'][0],
        'question': row['question_stem'],
        'answer': text.index(('more', 'less', 'no_effect'), row['answer_label']),
    },
    keep=lambda row: text.length(row['question_para_step']) > 0,
    options=('more', 'less', 'no effect'),
    lineage=('WIQA', 'ProPara'),
    licence='CC BY 4.0',
    link='https://allenai.org/data/wiqa',
    train_examples=29_808,
    validation_examples=6_894,
    test_examples=3_003,
    templates=(
        Template('{steps}\n\n{question}\n\n{options_}'),
        Template('How things come about: {steps}\nA change is considered: {question}\nWhat does the change lead to, more, less or no '
                 'effect?'),
        Template('Trace a change through the steps of a process.\n\nSteps: {steps}\nChange: {question}\n{options_}\nOutcome:'),
        Template('"{question}" To find out, go through what happens in order.\n\n{steps}\n{options_}'),
        Template('Engineer: This is how it works. {steps}\nVisitor: {question}\nEngineer, in a word:\n{options_}'),
        Template('Here is the first step of a process: {first} Carry on and write down the process in full, from that step on.',
                 '{steps}', inverted=True),
    ),
    baselines=(
        Template('{steps}\nquestion: {question}\nanswer:'),
        Template('{steps} {question}'),
    ),
)

SPECS = (QASC, QUAREL, QUARTZ, SCIQ, WIQA)
