"""Reading comprehension: questions about a passage. FLAN's five data sets, in six configurations."""

from flanlite.data.specs import text
from flanlite.data.specs.sources import Tfds
from flanlite.data.specs.specs import DatasetSpec, Splits
from flanlite.data.specs.templates import Template

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
    train_examples=9_220,
    validation_examples=200,
    test_examples=3_270,
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
    metric='superglue_multirc',
    group=lambda row: (row['paragraph'], row['question']),
    lineage=('MultiRC',),
    licence='research licence, SuperGLUE terms',
    link='https://cogcomp.seas.upenn.edu/multirc/',
    train_examples=27_040,
    validation_examples=200,
    test_examples=4_848,
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

# OpenBookQA: questions on elementary science that need one more step than the book's facts. FLAN counts it as reading comprehension, and
# shows the book's fact. Not every copy of the data has the facts, so these templates do not use them.
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
    train_examples=4_950,
    validation_examples=200,
    test_examples=500,
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
    metric='squad_f1',
    family='squad',
    lineage=('SQuAD',),
    licence='CC BY-SA 4.0',
    link='https://rajpurkar.github.io/SQuAD-explorer/',
    train_examples=87_390,
    validation_examples=200,
    test_examples=10_570,
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

# SQuAD 2.0: SQuAD 1.1, and about half as many questions more that the paragraph does not answer, although it has something that looks like
# an answer. What to reply to these is a field of its own, so that every template can state it.
#     title      Skerry Point
#     context    The first tower was lit in 1811. A storm destroyed it, and the present one, of granite, dates from 1856.
#     question   What was the first tower made of?
#     no_answer  unanswerable
#     answer     unanswerable
UNANSWERABLE = 'unanswerable'
SQUAD_V2 = DatasetSpec(
    name='squad_v2',
    cluster='reading_comprehension',
    source=Tfds('squad/v2.0:3.0.0', folder='squad_v2'),
    splits=Splits('train[:-200]', 'train[-200:]', 'validation'),
    fields=lambda row: {
        'title': text.replace(row['title'], '_', ' '),
        'context': row['context'],
        'question': text.strip(row['question']),
        'no_answer': UNANSWERABLE,
        'answer': text.collect(row['answers']['text'], UNANSWERABLE)[0],
        'answers': row['answers']['text'],
    },
    metric='squad_f1',
    family='squad',
    lineage=('SQuAD',),
    licence='CC BY-SA 4.0',
    link='https://rajpurkar.github.io/SQuAD-explorer/',
    train_examples=130_110,
    validation_examples=200,
    test_examples=11_873,
    templates=(
        Template('{context}\n\n{question}\n\nThe text may not say. In that case reply with "{no_answer}".'),
        Template('Answer from the paragraph, or write "{no_answer}" if the paragraph leaves it open.\n\nParagraph: {context}\n\n'
                 'Question: {question}\nAnswer:'),
        Template('Some questions in this test are traps, because nothing in the text settles them. The right reply to a trap is '
                 '"{no_answer}"; to any other question it is a few words from the text.\n\nText: {context}\n\nQuestion: {question}'),
        Template('Visitor: {question}\nGuide: All I know about {title} is on this board. "{context}" Should that not help, I can only say '
                 '"{no_answer}".\nVisitor: And does it help?\nGuide:'),
        Template('Article: {title}\nPassage: {context}\nQuery: {question}\nPrint the words that answer the query. If there are none, print '
                 '{no_answer}.'),
        Template('Does the passage after the question answer it? If so, give the answer. If it does not, say "{no_answer}".\n\n'
                 '{question}\n\n{context}'),
        Template('Rules of the game: you get a card with a text, and you hear a question. Call out the words on the card that answer it, '
                 'or call "{no_answer}" when they are not there.\n\nThe card: {context}\nThe question: {question}\nYou call:'),
        Template('I am filling in a form from a note about {title}, and I must not guess.\n\nNote: {context}\nForm: {question}\n\n'
                 'What do I enter? Where the note is silent, it has to be "{no_answer}".'),
        Template('"{question}" a reader of our encyclopedia would like to know. Quote the shortest stretch of the entry that tells. To '
                 'readers whom the entry cannot help, we send the word "{no_answer}".\n\nEntry: {title}. {context}'),
        Template('Find what is asked for. Beware, it may be missing, and then it counts as {no_answer}.\n\n{context}\n\n'
                 'Asked for: {question}\nFound:'),
    ),
    baselines=(
        Template('{context}\nquestion: {question}\nanswer, or {no_answer}:'),
        Template('{title}: {context}\nQ: {question} ({no_answer} if not known)\nA:'),
    ),
)

# DROP: questions about a passage that need counting, sums or comparisons. An answer is a number, a date or some words of the passage; of
# several spans, TFDS keeps the first. TFDS calls the validation split "dev", and leaves the answer empty if it is a date without a day.
#     passage   In the autumn of 1874 the fleet lost 11 boats, and 4 more in the spring. Of the 60 men aboard, 52 were saved.
#     question  How many boats did the fleet lose in all?
#     answer    15
DROP = DatasetSpec(
    name='drop',
    cluster='reading_comprehension',
    source=Tfds('drop:2.0.0', folder_splits=(('dev', 'test'),)),
    splits=Splits('train[:-200]', 'train[-200:]', 'dev'),
    fields=lambda row: {
        'passage': row['passage'],
        'question': text.strip(row['question']),
        'answer': row['answer'],
        'answers': text.collect(row['answer'], row['validated_answers']),
    },
    keep=lambda row: text.length(row['answer']) > 0,
    metric='squad_f1',
    lineage=('DROP',),
    licence='CC BY-SA 4.0',
    link='https://allenai.org/data/drop',
    train_examples=77_200,
    validation_examples=200,
    test_examples=9_536,
    templates=(
        Template('{passage}\n\nWork this out from the text: {question}'),
        Template('Read the passage and answer the question. You may have to count, compare or do sums.\n\nPassage: {passage}\n'
                 'Question: {question}\nResult:'),
        Template('{question}\n\nWhat you need to find out is in these lines, though not always in so many words: {passage}'),
        Template('Archive service. A caller asks, "{question}" All that we have on file is this: {passage} Tell the caller a number, a '
                 'date or a name, whichever it takes.'),
        Template('Exam: reading and reckoning. Write a figure or a few words.\n\n{passage}\n\nProblem 1. {question}'),
        Template('Pupil: {question}\nTeacher: You can get there from what is written here. "{passage}"\nPupil: Then it must be'),
        Template('Go through the report step by step until you can answer "{question}" and hand in the final answer only.\n\n'
                 'Report: {passage}'),
        Template('{passage}\n\nPose a problem about this for somebody who likes puzzles. The solution must be "{answer}".',
                 '{question}', inverted=True),
        Template('The editor of a textbook has put "{answer}" into the list of solutions. It belongs to the text below, but the question '
                 'got lost. Replace it.\n\n{passage}', '{question}', inverted=True),
        Template('Facts: {passage}\nAnswer that follows from the facts: {answer}\nWhat had to be worked out?',
                 '{question}', inverted=True),
    ),
    baselines=(
        Template('{passage}\nquestion: {question}\nanswer:'),
        Template('{passage}\nQ: {question}\nA:'),
    ),
)

SPECS = (SQUAD_V1, SQUAD_V2, DROP, MULTIRC, OPENBOOKQA, BOOL_Q)
