"""Extractive questions, which are answered by a span of a passage: the data sets of T0 that FLAN lacks."""

from flanlite.data.specs import text
from flanlite.data.specs.sources import HuggingFace
from flanlite.data.specs.specs import DatasetSpec, Splits
from flanlite.data.specs.templates import Template
from flanlite.mixtures.t0.groups import PARQUET

PLOT = 5_000  # characters of a film's plot; some are longer than the inputs of a model

# AdversarialQA: questions that people wrote so that a model (BiDAF, BERT or RoBERTa) would get them wrong. Each model is a data set.
#     title     Skerry Point
#     context   The tower was lit in 1811 and again, after the storm had been through it, in 1856.
#     question  In which year did the light shine for the second first time?
#     answer    1856
ADVERSARIAL_QA_TEMPLATES = (
    Template('{context}\n\nTake the answer to this from the text above, word for word. {question}'),
    Template('Careful, the question is meant to mislead you.\n\nQuestion: {question}\nText: {context}\nShortest span that answers it:'),
    Template('{title}\n\n{context}\n\nSomebody asks you "{question}" Which words of this would you underline as your reply?'),
    Template('Judge: I put it to you: {question}\nWitness: May I consult my notes?\nJudge: Please read them out.\nWitness: {context}\n'
             'Judge: Then answer me.\nWitness:'),
    Template('Here is a paragraph from an encyclopedia.\n\n{context}\n\nThink up a tricky question whose answer is "{answer}".',
             '{question}', inverted=True),
)  # fmt: skip


def adversarial_qa(model: str) -> DatasetSpec:
    """Make the data set of one of AdversarialQA's three parts, named by the model that was to be misled."""
    return DatasetSpec(
        name=f'adversarial_qa_{model}',
        cluster='reading_comprehension',
        source=HuggingFace('UCLNLP/adversarial_qa', model, folder=f'adversarial_qa_{model}'),
        splits=Splits('train', 'validation', None),
        fields=lambda row: {
            'title': text.replace(row['title'], '_', ' '),
            'context': row['context'],
            'question': text.strip(row['question']),
            'answer': row['answers']['text'][0],
            'answers': row['answers']['text'],
        },
        keep=lambda row: text.length(row['answers']['text']) > 0,
        metric='squad_f1',
        family='adversarial_qa',
        lineage=('AdversarialQA', 'SQuAD'),
        licence='CC BY-SA 4.0',
        link='https://adversarialqa.github.io',
        train_examples=10_000,
        validation_examples=1_000,
        templates=ADVERSARIAL_QA_TEMPLATES,
        baselines=(
            Template('{context}\nquestion: {question}\nanswer:'),
            Template('{title}: {context}\nQ: {question}\nA:'),
        ),
    )


# DuoRC: questions about the plot of a film. In SelfRC they were asked about the text that is shown, in ParaphraseRC about another one.
#     title     The Keeper
#     plot      A writer is sent to a lighthouse whose keeper has vanished. She finds his diary in the oil store ...
#     question  What does the writer find?
#     answer    his diary
DUORC_TEMPLATES = (
    Template('{plot}\n\n{question} Answer in a few words.'),
    Template('What happens in "{title}": {plot}\n\nSomebody who has not seen it wants to know: {question}'),
    Template('Film quiz. The plot is given, the reply is not.\n\nFilm: {title}\nPlot: {plot}\nQuestion: {question}\nReply:'),
    Template('{question} Find it out from the synopsis of the film.\n\n{plot}'),
    Template('Read what goes on in this film and suggest a title for it.\n\n{plot}', '{title}', inverted=True),
    Template('A critic has to check an answer, "{answer}", about the following film. What was the question, presumably?\n\n{plot}',
             '{question}', inverted=True),
)  # fmt: skip


def duorc(name: str, config: str, examples: tuple[int, int, int]) -> DatasetSpec:
    """Make the data set of one of DuoRC's two parts; questions that the plot does not answer are dropped."""
    return DatasetSpec(
        name=name,
        cluster='reading_comprehension',
        source=HuggingFace('ibm-research/duorc', config, folder=name),
        fields=lambda row: {
            'title': row['title'],
            'plot': text.part(text.strip(row['plot']), 0, PLOT),
            'question': text.strip(row['question']),
            'answer': row['answers'][0],
            'answers': row['answers'],
        },
        keep=lambda row: text.every(text.negate(row['no_answer']), text.length(row['answers']) > 0),
        metric='squad_f1',
        family='duorc',
        lineage=('DuoRC', 'IMDb plots'),
        licence='MIT',
        link='https://duorc.github.io',
        train_examples=examples[0],
        validation_examples=examples[1],
        test_examples=examples[2],
        templates=DUORC_TEMPLATES,
        baselines=(
            Template('{plot}\nquestion: {question}\nanswer:'),
            Template('{title}: {plot}\nQ: {question}\nA:'),
        ),
    )


# ROPES: a background passage states how something works, and a question asks what that means for a situation.
#     background  Salt lowers the temperature at which water freezes.
#     situation   Ann strewed salt on her steps, Tom strewed none on his. The night was just below zero.
#     question    Whose steps were icy in the morning?
#     answer      Tom
ROPES = DatasetSpec(
    name='ropes',
    cluster='reading_comprehension',
    source=HuggingFace('allenai/ropes', folder='ropes'),
    splits=Splits('train', 'validation', None),
    fields=lambda row: {
        'background': text.strip(row['background']),
        'situation': text.strip(row['situation']),
        'question': row['question'],
        'answer': row['answers']['text'][0],
        'answers': row['answers']['text'],
    },
    keep=lambda row: text.length(row['answers']['text']) > 0,
    metric='squad_f1',
    lineage=('ROPES',),
    licence='CC BY 4.0',
    link='https://allenai.org/data/ropes',
    train_examples=10_924,
    validation_examples=1_688,
    templates=(
        Template('{background}\n\n{situation}\n\n{question}'),
        Template('First comes what is known in general, then what happened in one case. Draw the conclusion.\n\nIn general: {background}\n'
                 'In this case: {situation}\nAsked for: {question}'),
        Template('My lecture notes say: {background}\nThe exercise says: {situation}\nWith the notes in hand I am to say this: {question}'),
        Template('Case: {situation}\n\n{question}\n\nHint, if you need one: {background}\n\nYour short answer:'),
        Template('{background} That much for the theory. Now describe a situation in which it matters, with all that somebody needs '
                 'who is then asked "{question}"', '{situation}', inverted=True),
        Template('Lab report\nTheory: {background}\nObservation: {situation}\nOpen point: {question}\nFinding:'),
    ),
    baselines=(
        Template('{background}\n{situation}\nquestion: {question}\nanswer:'),
        Template('{background}\n{situation}\nQ: {question}\nA:'),
    ),
)

# Quoref: questions that ask who or what the words of a paragraph refer to; an answer may consist of several spans.
#     title     The Bell
#     context   Edda owes the paper to her brother. She runs it with Jon, who also draws.
#     question  Who does the drawing for the paper that Edda runs?
#     answer    Jon
QUOREF = DatasetSpec(
    name='quoref',
    cluster='reading_comprehension',
    source=HuggingFace('allenai/quoref', revision=PARQUET, folder='quoref'),
    splits=Splits('train', 'validation', None),
    fields=lambda row: {
        'title': row['title'],
        'context': text.strip(row['context']),
        'question': row['question'],
        'answer': text.join(row['answers']['text'], ', '),
    },
    keep=lambda row: text.length(row['answers']['text']) > 0,
    metric='squad_f1',
    lineage=('Quoref',),
    licence='CC BY 4.0',
    link='https://allenai.org/data/quoref',
    train_examples=19_399,
    validation_examples=2_418,
    templates=(
        Template('{context}\n\nKeep track of who is who, and tell me: {question}'),
        Template('Question: {question}\nWhere to look: {context}\nName or names:'),
        Template('An extract from "{title}" is full of he, she and it.\n\n{context}\n\nSort that out far enough to say: {question}'),
        Template('Copy from the paragraph the word or words that the question is after. If there are several, put commas between them.\n\n'
                 '{question}\n\n{context}'),
        Template('Editor: I lost the thread here. {context}\nEditor: Put simply: {question}\nAuthor: I mean'),
        Template('{context}\n\nWhich title would you put above these lines?', '{title}', inverted=True),
    ),
    baselines=(
        Template('{context}\nquestion: {question}\nanswer:'),
        Template('{title}: {context}\nQ: {question}\nA:'),
    ),
)

SPECS = (
    adversarial_qa('dbidaf'),
    adversarial_qa('dbert'),
    adversarial_qa('droberta'),
    duorc('duorc_self', 'SelfRC', (60_721, 12_961, 12_559)),
    duorc('duorc_paraphrase', 'ParaphraseRC', (69_524, 15_591, 15_857)),
    ROPES,
    QUOREF,
)
