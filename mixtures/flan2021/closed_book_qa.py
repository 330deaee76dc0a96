"""Closed-book question answering: facts to be known, not looked up. FLAN's three data sets, in four configurations."""

from flanlite.data.specs import text
from flanlite.data.specs.sources import Tfds
from flanlite.data.specs.specs import DatasetSpec, Splits
from flanlite.data.specs.templates import Template

# ARC: questions from school tests in science, the easy and the challenging ones. As in FLAN, those with four answers only.
#     question  Which of these carries sap from the roots to the leaves?
#     options   bark / wood / pollen / fruit
#     answer    wood
ARC_TEMPLATES = (
    Template('{question}\n{options_}\n\nYour choice:'),
    Template('Answer a question from a science test.\n\n{question}\n{options_}'),
    Template('Science quiz! What do you say?\nQ: {question}\n{options_}\nA:'),
    Template('Teacher: {question}\nFour pupils raise their hands, and each has another answer.\n{options_}\n'
             'Teacher: One of you is right, and that is the one who said'),
    Template('Here are four answers.\n{options_}\n\nWhich of them goes with this question?\n{question}'),
    Template('Primary school examination\nInstructions: copy out the correct option.\n\n1. {question}\n\n{options_}'),
    Template('I am stuck on one item of my homework: "{question}" Can you tell me which it is?\n{options_}'),
    Template('Rule out what cannot be, and give what remains.\n\nQuestion: {question}\n{options_}\nRemains:'),
    Template('Write a question for a science class. The right answer to it must be this: {answer}', '{question}', inverted=True),
    Template('{options_}\n\nOf these, "{answer}" was marked as correct. What had been asked?', '{question}', inverted=True),
)


def arc(name: str, config: str, train_examples: int, test_examples: int) -> DatasetSpec:
    """Make the data set of one of ARC's two sets."""
    return DatasetSpec(
        name=name,
        cluster='closed_book_qa',
        source=Tfds(f'ai2_arc/{config}:1.0.0', folder=name),
        splits=Splits('train[:-200]', 'train[-200:]', 'test'),
        fields=lambda row: {
            'question': row['question'],
            'options': [row['choices']['text'][place] for place in range(4)],
            'answer': row['answerKey'],
        },
        keep=lambda row: text.length(row['choices']['text']) == 4,
        family='arc',
        lineage=('ARC',),
        licence='CC BY-SA 4.0',
        link='https://allenai.org/data/arc',
        train_examples=train_examples,
        validation_examples=200,
        test_examples=test_examples,
        templates=ARC_TEMPLATES,
        baselines=(
            Template('question: {question}\nanswer:'),
            Template('{question}'),
        ),
    )


ARC_CHALLENGE = arc('arc_challenge', 'ARC-Challenge', 910, 1_172)
ARC_EASY = arc('arc_easy', 'ARC-Easy', 2_040, 2_376)

# Natural Questions, open: what people asked a search engine, with short answers.
#     question  who built the lighthouse at skerry point
#     answers   Agnes Tolland / A. Tolland
NATURAL_QUESTIONS = DatasetSpec(
    name='natural_questions',
    cluster='closed_book_qa',
    source=Tfds('natural_questions_open:1.0.0'),
    splits=Splits('train[:-200]', 'train[-200:]', 'validation'),
    fields=lambda row: {'question': row['question'], 'answer': row['answer'][0], 'answers': row['answer']},
    metric='trivia_qa_exact_match',
    lineage=('Natural Questions',),
    licence='CC BY-SA 3.0',
    link='https://ai.google.com/research/NaturalQuestions',
    train_examples=87_720,
    validation_examples=200,
    test_examples=3_610,
    templates=(
        Template('Please answer this question: {question}?'),
        Template('{question}?\n\nA few words will do.'),
        Template('Someone typed "{question}" into a search engine. What was the short answer that they hoped for?'),
        Template('Quiz night.\nHost: {question}?\nThe fastest team:'),
        Template('Do this from memory, without looking anything up.\n\nQuestion: {question}?\nAnswer:'),
        Template('I have always wondered, {question}? Perhaps you know.'),
        Template('The front of the card reads: {question}?\nTurn the card over. The back reads:'),
        Template('Give the fact that is asked for and nothing else.\n\n{question}'),
        Template('Dear librarian,\n\n{question}?\n\nA brief reply would be kind.\n\nDear reader,'),
        Template('Test your general knowledge! Today\'s question is "{question}" and the solution to yesterday\'s is on page 5. Solution '
                 "to today's:"),
    ),
    baselines=(
        Template('question: {question}?\nanswer:'),
        Template('Q: {question}?\nA:'),
    ),
)

# TriviaQA: questions of quiz players, with all names by which the answer is known. The documents that come with it are not shown; TFDS has
# the same questions without them as trivia_qa/rc.nocontext.
#     question  Which Skerry lighthouse keeper wrote the novel "The Granite Year"?
#     answers   Agnes Tolland / Tolland / Agnes Maud Tolland
TRIVIA_QA = DatasetSpec(
    name='trivia_qa',
    cluster='closed_book_qa',
    source=Tfds('trivia_qa/rc:1.1.0', folder='trivia_qa', folder_splits=(('validation', 'test'),)),
    splits=Splits('train[:-200]', 'train[-200:]', 'validation'),
    fields=lambda row: {
        'question': row['question'],
        'answer': row['answer']['value'],
        'answers': text.collect(row['answer']['value'], row['answer']['aliases']),
    },
    metric='trivia_qa_exact_match',
    lineage=('TriviaQA',),
    licence='none stated, research use',
    link='https://nlp.cs.washington.edu/triviaqa/',
    train_examples=87_420,
    validation_examples=200,
    test_examples=11_313,
    templates=(
        Template('Trivia evening, last round. {question}'),
        Template('{question}\n\nSay it in a word or two.'),
        Template('What is asked for here? Name it.\n\nQuestion: {question}\nName:'),
        Template('Radio quiz\nPresenter: Caller on line one, are you ready? {question}\nCaller:'),
        Template('A puzzle magazine prints a clue and leaves the solution to its readers.\nClue: {question}\nSolution:'),
        Template('If you were a walking encyclopedia, what would you reply to this? "{question}"'),
        Template('Ben claims to know everything, so Ann puts him to the test. "{question}" she asks, and Ben gets it right! He says:'),
        Template('No books, no web, only what you have in your head: {question}'),
        Template('Category: mixed knowledge\nFor 500 points: {question}\nYour answer:'),
        Template('"{question}" That was the one that nobody in our pub could answer. You, I am sure, can.'),
    ),
    baselines=(
        Template('question: {question}\nanswer:'),
        Template('Q: {question}\nA:'),
    ),
)

SPECS = (TRIVIA_QA, NATURAL_QUESTIONS, ARC_CHALLENGE, ARC_EASY)
