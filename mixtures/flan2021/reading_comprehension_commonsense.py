"""Reading comprehension with commonsense: what a passage leaves unsaid. FLAN's two data sets."""

from flanlite.data.specs import text
from flanlite.data.specs.sources import Tfds
from flanlite.data.specs.specs import DatasetSpec, Splits
from flanlite.data.specs.templates import Template

HIGHLIGHT = r' *\n@highlight\n *'
STOP, NO_STOP = r'([.?!"\'’”])', r'([^.?!"\'’”])'

# Cosmos QA: causes, effects and motives behind passages of personal blogs; "None of the above choices ." may be the right answer.
#     context   I had packed sandwiches for six , and when we got to the lake there were only the two of us and the dog .
#     question  Why may the narrator have had food left over ?
#     options   Most of the group did not come . / The dog does not eat . / The lake was closed . / None of the above choices .
#     answer    Most of the group did not come .
COSMOS_QA = DatasetSpec(
    name='cosmos_qa',
    cluster='reading_comprehension_commonsense',
    source=Tfds('cosmos_qa:1.0.0'),
    splits=Splits('train[:-200]', 'train[-200:]', 'validation'),
    fields=lambda row: {
        'context': row['context'],
        'question': row['question'],
        'options': [row['answer0'], row['answer1'], row['answer2'], row['answer3']],
        'answer': row['label'],
    },
    lineage=('Cosmos QA', 'Spinn3r blogs'),
    licence='CC BY 4.0',
    link='https://wilburone.github.io/cosmos/',
    train_examples=25_060,
    validation_examples=200,
    test_examples=2_985,
    templates=(
        Template('{context}\n\n{question}\n{options_}\n\nThe best of these answers is'),
        Template('Read between the lines to answer the question.\n\nText: {context}\nQuestion: {question}\n{options_}'),
        Template('Blog post:\n{context}\n\nA reader of the blog asks, "{question}" Choose the best guess.\n{options_}'),
        Template('{question}\n{options_}\n\nMake up your mind after reading this: {context}'),
        Template('A: Listen to what somebody wrote. "{context}"\nB: {question}\nA: It is not spelled out, but it must be one of these.\n'
                 '{options_}\nA: I would say,'),
        Template('Part C. Understanding people\n\n{context}\n\n13. {question}\n{options_}'),
        Template('What is the most reasonable thing to suppose? {question}\n\nStory: {context}\n\n{options_}'),
        Template('Here is a page out of a diary: "{context}" Use it, and what you know of life, to reply to this: {question}\n\n'
                 '{options_}\n\nReply:'),
        Template('{context}\n\nAsk something about this to which the text has no direct answer, but a good guess would be the '
                 'following.\n\n{answer}', '{question}', inverted=True),
        Template('{context}\n\nAbout these lines an exam gave four choices.\n{options_}\n\n'
                 'The right choice was "{answer}" What did the exam ask?', '{question}', inverted=True),
    ),
    baselines=(
        Template('{context}\nquestion: {question}\nanswer:'),
        Template('{context} {question}'),
    ),
)

# ReCoRD: which of the names in a news article is missing from a sentence about the same news? Several may be right.
#     passage  Ida Harrow has left the council of Skerry. The mayor, Jon Tolland, thanked her on Friday. The seat stays empty until May.
#     query    "I shall miss the meetings, but not the minutes," _____ told reporters.
#     options  Harrow / Ida Harrow / Jon Tolland / Skerry
#     answers  Harrow / Ida Harrow
RECORD = DatasetSpec(
    name='record',
    cluster='reading_comprehension_commonsense',
    source=Tfds('super_glue/record:1.0.2'),
    splits=Splits('train[:-200]', 'train[-200:]', 'validation'),
    fields=lambda row: {
        # The article's summary comes after it, as lines without a full stop, each after a line "@highlight".
        'passage': text.substitute(
            text.substitute(text.substitute(text.strip(row['passage']), STOP + HIGHLIGHT, r'\1 '), HIGHLIGHT, '. '), NO_STOP + '$', r'\1.'
        ),
        'query': text.replace(row['query'], '@placeholder', '_____'),
        'options': row['entities'],
        'answer': row['answers'][0],
        'answers': row['answers'],
    },
    keep=lambda row: text.length(row['answers']) > 0,
    metric='squad_f1',
    lineage=('CNN/DailyMail',),
    licence='SuperGLUE terms',
    link='https://sheng-z.github.io/ReCoRD-explorer/',
    train_examples=100_520,
    validation_examples=200,
    test_examples=10_000,
    templates=(
        Template('{passage}\n\nFill the gap in a sentence about this report.\n\nSentence: {query}\n{options_}'),
        Template('News item: {passage}\n\nA later item says: {query}\nWho or what belongs in the blank?\n{options_}'),
        Template('Read the article and complete the statement with one of the names.\n\nArticle: {passage}\n\nStatement: {query}\n\n'
                 '{options_}'),
        Template('There is a smudge on our newspaper, just where a name should be. The line reads: {query} Here is what we can still make '
                 'out of the rest: {passage} Which name is under the smudge?\n{options_}'),
        Template('{options_}\n\nOne of these was taken out of the line below, which now has a gap there. Put it back with the help of the '
                 'text.\n\nLine: {query}\n\nText: {passage}'),
        Template('Editor: Something is missing here: {query}\nReporter: You can work it out from my piece. {passage}\n'
                 'Editor: Give me a choice, please.\n{options_}\nReporter:'),
        Template('Cloze test: current affairs\n\n{passage}\n\n1. {query}\n{options_}\nInsert:'),
        Template('What goes into the empty place, so that the sentence agrees with the story?\n\nStory: {passage}\n\n'
                 'Sentence with the empty place: {query}\n\n{options_}'),
        Template('The radio kept breaking up. First I heard this: "{passage}" Then came this, with a crackle in place of a name: '
                 '"{query}" Whose name, or what name, can it have been?\n{options_}'),
        Template('Guess the person, place or thing.\nBackground: {passage}\nQuotation with a blank: {query}\n{options_}\nGuess:'),
    ),
    baselines=(
        Template('{passage}\n{query}\nThe blank is'),
        Template('{passage}\nquestion: what is missing in "{query}"\nanswer:'),
    ),
)

SPECS = (RECORD, COSMOS_QA)
