"""Reading comprehension: questions about a passage. Four of FLAN's data sets."""

from flanlite.data import text
from flanlite.data.sources import Tfds
from flanlite.data.specs import DatasetSpec, Splits
from flanlite.data.templates import Template

# BoolQ: questions to a search engine that can be answered by yes or no, with a passage of Wikipedia.
#     title     Skerry Point lighthouse
#     passage   The lighthouse stands on a rock off Skerry Point. It has been unmanned since 1978 and is closed to visitors.
#     question  can you go up skerry point lighthouse
#     answer    no
BOOL_Q = DatasetSpec(
    name='bool_q',
    cluster='reading_comprehension',
    source=Tfds('bool_q:1.0.0'),
    splits=Splits('train[:-200]', 'train[-200:]', 'validation'),
    fields=lambda row: {
        'passage': text.plain_quotes(row['passage']),
        'question': row['question'],
        'title': row['title'],
        'answer': text.choose(row['answer'], ('no', 'yes')),  # a truth value in the data
    },
    options=('no', 'yes'),
    lineage=('Natural Questions',),
    licence='CC BY-SA 3.0',
    link='https://github.com/google-research-datasets/boolean-questions',
    templates=(
        Template('{passage}\n\nWith this in mind, {question}?\n\n{options_}'),
        Template('Answer the question by means of the article.\n\nArticle: {passage}\n\nQuestion: {question}?\n{options_}'),
        Template('{title}\n\n{passage}\n\nReader\'s question: "{question}?" What do you reply, yes or no?'),
        Template('A: Let me ask you something: {question}?\nB: I have just read about it. {passage}\nA: That means\n{options_}'),
        Template('Query: {question}\nBest page found: {title}\nWhat the page says: {passage}\n\nSo the answer to the query is\n{options_}'),
        Template('Your task is to read the text and to settle whether the answer to "{question}" is yes or no.\n\nText: {passage}\n\n'
                 '{options_}'),
        Template('Test of reading, one question, yes or no.\n\n{passage}\n\n1. {question}?\n{options_}'),
        Template('"{question}?" my daughter asked, so we looked it up under "{title}". The entry ran: {passage} What did I tell her?\n'
                 '{options_}'),
        Template('{options_}\n\nWhich one of these is it, when the question is "{question}?" and the source is the following?\n\n'
                 '{passage}'),
        Template('Encyclopedia, voice service\nheard: {question}\nentry: {title}\ntext of the entry: {passage}\nspoken reply:\n{options_}'),
    ),
    baselines=(
        Template('{passage}\nquestion: {question}?\nanswer:'),
        Template('{title}: {passage}\nQ: {question}?\nA:'),
    ),
)

# MultiRC: is an answer to a question about a paragraph right? A question may have several right answers.
#     paragraph  Edda set out before dawn. At the ford she met a pedlar and his mule, and they went on together.
#     question   Who travelled with Edda?
#     candidate  A pedlar
#     answer     yes
MULTIRC = DatasetSpec(
    name='multirc',
    cluster='reading_comprehension',
    source=Tfds('super_glue/multirc:1.0.2'),
    splits=Splits('train[:-200]', 'train[-200:]', 'validation'),
    fields=lambda row: {
        'paragraph': text.strip(text.plain_quotes(row['paragraph'])),
        'question': row['question'],
        'candidate': row['answer'],
        'answer': row['label'],
    },
    options=('no', 'yes'),
    lineage=('MultiRC',),
    licence='research licence, SuperGLUE terms',
    link='https://cogcomp.seas.upenn.edu/multirc/',
    templates=(
        Template('{paragraph}\n\nQuestion: {question}\nAnswer given: "{candidate}"\n\nIs this answer right?\n\n{options_}'),
        Template('Read the paragraph and check the reply to the question.\n\nParagraph: {paragraph}\nQuestion: {question}\n'
                 'Reply: {candidate}\n\n{options_}'),
        Template('"{question}" - "{candidate}"\n\nThat is what I overheard after class. Here is the text they were talking about: '
                 '{paragraph}\n\nWas the reply correct? Yes or no?'),
        Template('You are marking a test. May the answer count as correct?\n\nText: {paragraph}\n\nTask: {question}\n'
                 'Answer handed in: {candidate}\n{options_}'),
        Template('Does the following text say that "{candidate}" is an answer to "{question}"?\n{options_}\n\n{paragraph}'),
        Template('{paragraph}\n\nTeacher: {question}\nPupil: {candidate}\nTeacher:\n{options_}'),
        Template('Several answers to a question can be right, and others wrong. Find out about one of them.\n\nPassage: {paragraph}\n'
                 'Question: {question}\nOne answer: "{candidate}"\nRight?\n{options_}'),
        Template('Forum: help with reading\n\n{paragraph}\n\nFor the question "{question}" I have written down "{candidate}". Can I leave '
                 'it at that?\n{options_}'),
        Template('{paragraph}\n\n{question}\n\nGive an answer. Somebody who has the paragraph and is asked whether you are right should '
                 'say: {answer}.', '{candidate}', inverted=True),
        Template('Think of a question about this text:\n\n{paragraph}\n\nThe reply to it will be "{candidate}". Anybody who checks that '
                 'reply against the text and is asked whether it is correct has to say: {answer}.', '{question}', inverted=True),
    ),
    baselines=(
        Template('{paragraph}\nquestion: {question}\nanswer: {candidate}\ncorrect:'),
        Template('{paragraph}\n{question} {candidate}, yes or no?'),
    ),
)

# OpenBookQA: elementary science that asks for one more step than the book's facts give. FLAN counts it as reading comprehension and shows
# the book's fact; not every copy of the data has the facts, so these templates do without.
#     question  A stone that lies in the sun all day will in the evening be
#     options   damp / warm / lighter / magnetic
#     answer    warm
OPENBOOKQA = DatasetSpec(
    name='openbookqa',
    cluster='reading_comprehension',
    source=Tfds('openbookqa:0.1.0'),
    splits=Splits('train', 'validation[:200]', 'test'),
    fields=lambda row: {
        'question': row['question']['stem'],
        'options': [row['question']['choice_A'], row['question']['choice_B'], row['question']['choice_C'], row['question']['choice_D']],
        'answer': row['answerKey'],
    },
    lineage=('OpenBookQA',),
    licence='Apache-2.0',
    link='https://allenai.org/data/open-book-qa',
    templates=(
        Template('"{question}" Which of these completes it, or answers it?\n{options_}'),
        Template('Select the words that complete or answer this best.\n\n{question}\n\n{options_}'),
        Template('Science, oral test. Examiner: "{question}" You may say one of these things.\n{options_}\nYou:'),
        Template('What is the right way to go on, or to reply?\n"{question}"\n{options_}'),
        Template('A worksheet has this line on it: "{question}"\nBelow it stand four choices.\n{options_}\nWhich one would you circle?'),
        Template('{options_}\n\nLook at these four. Which belongs with the following? {question}'),
        Template('Apply a simple fact of nature that everyone learns at school. {question}\n{options_}'),
        Template('Nature club, question of the week: {question}\n\n{options_}\n\nSend us your choice:'),
        Template('The solution to an exercise in elementary science is "{answer}". Write the exercise.', '{question}', inverted=True),
        Template('{options_}\n\nMake up a question, or the first half of a sentence, for which "{answer}" is the best choice of all these.',
                 '{question}', inverted=True),
    ),
    baselines=(
        Template('question: {question}\nanswer:'),
        Template('{question}'),
    ),
)

# SQuAD 1.1: questions about a paragraph of Wikipedia, answered by a span of it.
#     title     Skerry Point
#     context   The first tower was lit in 1811. A storm destroyed it, and the present one, of granite, dates from 1856.
#     question  What is the present tower made of?
#     answer    granite
SQUAD_V1 = DatasetSpec(
    name='squad_v1',
    cluster='reading_comprehension',
    source=Tfds('squad/v1.1:3.0.0', folder='squad_v1'),
    splits=Splits('train[:-200]', 'train[-200:]', 'validation'),
    fields=lambda row: {
        'title': text.replace(row['title'], '_', ' '),
        'context': row['context'],
        'question': text.strip(row['question']),
        'answer': row['answers']['text'][0],
        'answers': row['answers']['text'],
    },
    metric='f1',
    family='squad',
    lineage=('SQuAD',),
    licence='CC BY-SA 4.0',
    link='https://rajpurkar.github.io/SQuAD-explorer/',
    templates=(
        Template('{context}\n\nHaving read this, reply in a few words. {question}'),
        Template('Answer with words from the paragraph.\n\nParagraph: {context}\n\nQuestion: {question}\nAnswer:'),
        Template('Here is something about {title}.\n\n{context}\n\nCan you tell from it: {question}'),
        Template('{question}\n\nYou will find the answer in this text:\n\n{context}'),
        Template('Museum guide: {context}\nVisitor: {question}\nMuseum guide:'),
        Template('Reading exercise: {title}\n\n{context}\n\nExercise 1. {question} Copy the words that say so.'),
        Template('Which part of the passage answers the question? Quote it, as briefly as you can.\n\nQ: {question}\nPassage: {context}'),
        Template('I was reading up on {title} and came upon this. "{context}" Now remind me, please: {question}'),
        Template('Set a reading exercise on the paragraph: one question, to which the class should reply "{answer}".\n\n{context}',
                 '{question}', inverted=True),
        Template('{title}\n\n{context}\n\nIn a quiz about this text the answer was: {answer}\nThe question was:',
                 '{question}', inverted=True),
    ),
    baselines=(
        Template('{context}\nquestion: {question}\nanswer:'),
        Template('{title}: {context}\nQ: {question}\nA:'),
    ),
)

SPECS = (BOOL_Q, MULTIRC, OPENBOOKQA, SQUAD_V1)
