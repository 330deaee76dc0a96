"""Conversational question answering: questions that follow each other in a conversation about a text. Two of FLAN's data sets."""

from flanlite.data.specs import text
from flanlite.data.specs.sources import Tfds
from flanlite.data.specs.specs import DatasetSpec, Splits
from flanlite.data.specs.templates import Template

NO_ANSWER = 'CANNOTANSWER'  # QuAC's answer where there is none; it also ends each text

# QuAC: a student who only knows the heading asks about a section of Wikipedia, and a teacher quotes from it. As in FLAN, each question
# stands alone, without those before it.
#     title       Agnes Tolland
#     background  Agnes Tolland (1921-1998) was a Scottish lighthouse keeper.
#     section     At Skerry Point
#     context     In 1955 Tolland became the assistant at Skerry Point. When her husband died she kept the light on her own, unpaid.
#     question    Did she have any help?
#     answer      she kept the light on her own
QUAC = DatasetSpec(
    name='quac',
    cluster='conversational_qa',
    source=Tfds('quac:1.0.0'),
    splits=Splits('train[:-200]', 'train[-200:]', 'validation'),
    fields=lambda row: {
        'title': text.strip(row['title']),
        'background': text.strip(text.replace(row['background'], NO_ANSWER, '')),
        'section': text.strip(row['section_title']),
        'context': text.strip(text.replace(row['context'], NO_ANSWER, '')),
        'question': text.strip(row['question']),
        'answer': text.replace(row['answers']['text'][0], NO_ANSWER, 'unknown'),
        'answers': text.split(text.replace(text.join(row['answers']['text'], '\n'), NO_ANSWER, 'unknown'), '\n'),
    },
    metric='squad_f1',
    lineage=('QuAC',),
    licence='CC BY-SA 4.0',
    link='https://quac.ai',
    train_examples=83_360,
    validation_examples=200,
    test_examples=7_354,
    templates=(
        Template('{context}\n\n{question}\n\nAnswer with a quotation, or say "unknown" if the text does not tell.'),
        Template(
            'A student wants to know about {title} ({section}). The teacher has only this text at hand and says "unknown" to what is '
            'not in it.\n\n{context}\n\nStudent: {question}\nTeacher:'
        ),
        Template(
            'Find the words that answer the question; where there are none, put "unknown".\n\nText: {context}\n\n'
            'Question: {question}\nWords:'
        ),
        Template('{title}\n{background}\n\n{section}\n{context}\n\nReader: {question}\nThe page, or "unknown" where it is silent:'),
        Template(
            'We were talking about {title}, when somebody asked: {question} Copy what the article has on it, or else write '
            '"unknown".\n\nArticle: {context}'
        ),
        Template('Encyclopedia, chat window\ntopic: {title}, {section}\nentry: {context}\nuser: {question}\nfrom the entry, or "unknown":'),
        Template('Is there anything in the following about this? {question} Then quote it. If not, the answer is "unknown".\n\n{context}'),
        Template(
            'Oral exam on {title}. You may look at one page, and if it does not help you may say "unknown".\n\nPage: {context}\n\n'
            'Examiner: {question}\nYou:'
        ),
        Template(
            'On {title}: {context}\n\nAsk something to which, as far as this text goes, one can only reply, "{answer}"',
            '{question}',
            inverted=True,
        ),
        Template(
            '{context}\n\nA curious student asked about that, and a teacher who quotes or says "unknown" replied, "{answer}" What was '
            'the question?',
            '{question}',
            inverted=True,
        ),
    ),
    baselines=(
        Template('{context}\nquestion: {question}\nanswer:'),
        Template('{title}, {section}: {context}\nQ: {question}\nA:'),
    ),
)

# CoQA: a whole conversation about a story, an article or the like. As in FLAN, all questions are put at once, and numbered.
#     story      Edda set out before dawn. At the ford she met a pedlar and his mule, and they went on together.
#     questions  1. Who set out?
#                2. Whom did she meet?
#                3. Was he alone?
#     answer     1. Edda
#                2. a pedlar
#                3. no
COQA = DatasetSpec(
    name='coqa',
    cluster='conversational_qa',
    source=Tfds('coqa:1.0.0'),
    splits=Splits('train[:-100]', 'train[-100:]', 'test'),
    fields=lambda row: {
        'story': text.strip(row['story']),
        'questions': text.numbered(row['questions']),
        'answer': text.numbered(row['answers']['input_text']),
    },
    keep=lambda row: text.length(row['questions']) > 0,
    metric='squad_f1',
    lineage=('CoQA', 'MCTest', 'RACE', 'CNN/DailyMail'),
    licence='by source: CC BY-SA 4.0, MSR-LA, Apache-2.0, and research only',
    link='https://stanfordnlp.github.io/coqa/',
    train_examples=7_090,
    validation_examples=100,
    test_examples=500,
    templates=(
        Template('{story}\n\nAnswer these questions about the text, with the number of the question before each answer.\n{questions}'),
        Template(
            'Reply to all of the questions. They belong to one conversation, so that each may refer to what came before it.\n\n'
            'Text: {story}\n\nQuestions:\n{questions}\n\nAnswers:'
        ),
        Template(
            'You are interviewed about something you have read, namely this: {story}\n\nHere is what you are asked.\n{questions}\n\n'
            'Write down your short replies as a numbered list.'
        ),
        Template('WORKSHEET\n\n{story}\n\n{questions}\n\nKEY TO THE WORKSHEET'),
        Template(
            'I have got a list. Could you go through it from top to bottom and put a few words to each number?\n\n{questions}\n\n'
            'You will find everything in this: {story}'
        ),
        Template(
            'The questions first, so that you know what to look for:\n{questions}\n\nThe passage:\n{story}\n\n'
            'What you have found, a line for each question:'
        ),
        Template(
            'Grandmother read to the children. "{story}" Then they wanted to know:\n{questions}\nGrandmother answered one after the other.'
        ),
        Template('Fill in the form, point by point.\n\nMaterial: {story}\nPoints:\n{questions}\nFilled in:'),
        Template('What are the answers? Be brief and keep the order.\n\n{questions}\n\n({story})'),
        Template(
            '{story}\n\nTwo people talked about this. One of them asked, and the other gave these answers:\n{answer}\n\nWrite the '
            'questions, under the same numbers.',
            '{questions}',
            inverted=True,
        ),
    ),
    baselines=(
        Template('{story}\nquestions:\n{questions}\nanswers:'),
        Template('{story}\n{questions}\nA:'),
    ),
)

SPECS = (QUAC, COQA)
