"""Closed-book questions, which are answered from what the model knows: the data sets of T0 that FLAN lacks."""

from flanlite.data.specs import text
from flanlite.data.specs.sources import HuggingFace, Tfds
from flanlite.data.specs.specs import DatasetSpec, Splits
from flanlite.data.specs.templates import Template

# HotpotQA in KILT's form: questions about two things at once, without the articles.
#     question  Was the engineer of Skerry Light born before the painter of "Storm at Skerry"?
#     answer    yes
KILT_HOTPOTQA = DatasetSpec(
    name='kilt_hotpotqa',
    cluster='closed_book_qa',
    source=HuggingFace('facebook/kilt_tasks', 'hotpotqa', folder='kilt_hotpotqa'),
    splits=Splits('train', 'validation', None),
    fields=lambda row: {
        'question': text.strip(row['input']),
        'answer': text.collect(text.pluck(row['output'], 'answer'))[0],
        'answers': text.collect(text.pluck(row['output'], 'answer')),
    },
    keep=lambda row: text.length(text.collect(text.pluck(row['output'], 'answer'))) > 0,
    metric='squad_exact_match',
    lineage=('HotpotQA',),
    licence='MIT, HotpotQA CC BY-SA 4.0',
    link='https://github.com/facebookresearch/KILT',
    train_examples=88_869,
    validation_examples=5_600,
    templates=(
        Template('{question}'),
        Template('There is no book at hand. All the same: {question}'),
        Template('Here is a question that takes knowledge of more than one thing: "{question}" Keep the reply to a few words.'),
        Template('Trivia, hard round\nQ {question}\nA'),
        Template('Combine what you know, without writing down how, and give only the result.\n\n{question}'),
        Template('"{answer}" was the reply. Write a question, not too easy, that it may have been a reply to.',
                 '{question}', inverted=True),
    ),
    baselines=(
        Template('question: {question}\nanswer:'),
        Template('Q: {question}\nA:'),
    ),
)

# WikiQA: does a sentence from Wikipedia answer somebody's search? T0 counts this as closed-book question answering.
#     question   how tall is skerry light?
#     title      Skerry Light
#     candidate  The tower is 31 metres high and was lit in 1856.
#     answer     yes
WIKI_QA = DatasetSpec(
    name='wiki_qa',
    cluster='reading_comprehension',
    source=HuggingFace('microsoft/wiki_qa', folder='wiki_qa'),
    fields=lambda row: {
        'question': row['question'],
        'title': row['document_title'],
        'candidate': row['answer'],
        'answer': row['label'],
    },
    options=('no', 'yes'),
    metric='glue_accuracy_f1',
    lineage=('WikiQA', 'Bing queries'),
    licence='Microsoft Research Data License',
    link='https://www.microsoft.com/en-us/research/publication/wikiqa-a-challenge-dataset-for-open-domain-question-answering/',
    train_examples=20_360,
    validation_examples=2_733,
    test_examples=6_165,
    templates=(
        Template('Searched for: {question}\nFound: {candidate}\n\nDoes what was found answer the search?\n{options_}'),
        Template('"{candidate}"\n\nThis line comes from the article "{title}". Would it satisfy somebody who asks '
                 '"{question}" or not?\n\n{options_}'),
        Template('Customer: {question}\nAssistant: {candidate}\n\nDid the customer get an answer?\n{options_}'),
        Template('Sort sentences by whether they answer a question (yes) or are merely about the same subject (no).\n\n'
                 'Question: {question}\nSentence: {candidate}\n{options_}'),
        Template('Here is a sentence of an article on {title}: {candidate} I had asked "{question}" Have I been told? Say yes or no.'),
        Template('People who search for "{question}" are shown a sentence from the article "{title}". Write one, such that whoever asks '
                 'whether it answers the search must be told: {answer}.', '{candidate}', inverted=True),
    ),
    baselines=(
        Template('question: {question}\nsentence: {candidate}\nanswered:'),
        Template('Q: {question}\nA: {candidate}\ncorrect:'),
    ),
)

# WebQuestions: questions that people type into a search engine, answered by what Freebase knew. Part of T0+ only.
#     question  what did agnes tolland invent?
#     answers   fog bell / Tolland lamp
WEB_QUESTIONS = DatasetSpec(
    name='web_questions',
    cluster='closed_book_qa',
    source=Tfds('web_questions:1.0.0'),
    splits=Splits('train', None, 'test'),
    fields=lambda row: {'question': row['question'], 'answer': row['answers'][0], 'answers': row['answers']},
    keep=lambda row: text.length(row['answers']) > 0,
    metric='squad_exact_match',
    lineage=('WebQuestions', 'Freebase'),
    licence='CC BY 4.0',
    link='https://nlp.stanford.edu/software/sempre/',
    train_examples=3_778,
    test_examples=2_032,
    templates=(
        Template('{question}\nJust the name, date or thing, please.'),
        Template('Somebody typed this into a search box: {question}\nSave them the reading and tell them.'),
        Template('Look into your memory, not into the web: {question}'),
        Template('> {question}\nbot:'),
        Template('At the reference desk: "{question}" The librarian, without getting up:'),
        Template('"{answer}" is what people hoped to find. What may they have typed?', '{question}', inverted=True),
    ),
    baselines=(
        Template('question: {question}\nanswer:'),
        Template('Q: {question}\nA:'),
    ),
)

SPECS = (KILT_HOTPOTQA, WIKI_QA, WEB_QUESTIONS)
