"""Coreference: who or what is meant? Three of FLAN's data sets, and WSC273, which FLAN only evaluates."""

from flanlite.data.specs import text
from flanlite.data.specs.sources import Tfds
from flanlite.data.specs.specs import DatasetSpec, Splits
from flanlite.data.specs.templates import Template

# Definite pronoun resolution: Winograd-like sentences written by students.
#     sentence  The shepherds called the dogs because they were about to leave.
#     pronoun   they
#     options   The shepherds / the dogs
#     answer    The shepherds
DEFINITE_PRONOUN_RESOLUTION = DatasetSpec(
    name='definite_pronoun_resolution',
    cluster='coreference',
    source=Tfds('definite_pronoun_resolution:1.1.0'),
    splits=Splits('train[:-200]', 'train[-200:]', 'test'),
    fields=lambda row: {
        'sentence': row['sentence'],
        'pronoun': row['pronoun'],
        'options': [row['candidates'][0], row['candidates'][1]],
        'answer': row['label'],
    },
    lineage=('Definite Pronoun Resolution',),
    licence='free for research',
    link='https://www.hlt.utdallas.edu/~vince/data/emnlp12/',
    train_examples=1_120,
    validation_examples=200,
    test_examples=564,
    templates=(
        Template('{sentence}\n\nWho or what is meant by "{pronoun}"?\n\n{options_}'),
        Template('Find what the word "{pronoun}" stands for in the sentence below.\n\n{sentence}\n\n{options_}'),
        Template('Grammar lesson: pronouns\nsentence: {sentence}\npronoun: {pronoun}\nrefers to:\n{options_}'),
        Template('Learner: Here it says, "{sentence}" Which of the two is "{pronoun}"?\nTeacher: Only one of them makes sense.\n'
                 '{options_}\nLearner:'),
        Template('Replace the pronoun by a noun.\n\n{sentence}\n\nWhat do you write instead of "{pronoun}"?\n{options_}'),
        Template('"{pronoun}" might be understood in two ways here, but one of them would be odd: "{sentence}" Which is the other?\n'
                 '{options_}'),
        Template('The pronoun "{pronoun}" in "{sentence}" points back to one of the following. Name it.\n{options_}'),
        Template('Before this can be translated, we must know what the pronoun refers to.\n\nTo translate: {sentence}\n'
                 'Pronoun: {pronoun}\n\n{options_}'),
        Template('Reading aid, log\nsentence: {sentence}\ncannot resolve: {pronoun}\n{options_}\nset by hand to:'),
        Template('Think about who would do, feel or be what, and then resolve the pronoun "{pronoun}".\n\n{sentence}\n\n'
                 '"{pronoun}" refers to'),
    ),
    baselines=(
        Template('{sentence}\nquestion: who or what is "{pronoun}"?\nanswer:'),
        Template('{sentence} Here, "{pronoun}" means'),
    ),
)

# Winogrande: a sentence with a gap that two nouns fit by grammar and one by sense. As in FLAN, the answer is the rest of the sentence.
#     beginning  The jug did not fit on the shelf because the
#     options    jug was too tall. / shelf was too tall.
#     answer     jug was too tall.
WINOGRANDE = DatasetSpec(
    name='winogrande',
    cluster='coreference',
    source=Tfds('winogrande:1.2.0'),  # FLAN read 1.1.0, which TFDS no longer has
    splits=Splits('train_xl[:-200]', 'train_xl[-200:]', 'validation'),
    fields=lambda row: {
        'beginning': text.strip(text.split(row['sentence'], '_')[0]),
        'options': [text.concat(row['option1'], text.split(row['sentence'], '_')[1]),
                    text.concat(row['option2'], text.split(row['sentence'], '_')[1])],
        'answer': row['label'],
    },
    keep=lambda row: text.matches(row['sentence'], '[^_]+_[^_]+'),
    lineage=('WinoGrande',),
    licence='CC BY 4.0',
    link='https://winogrande.allenai.org',
    train_examples=40_190,
    validation_examples=200,
    test_examples=1_267,
    templates=(
        Template('{beginning} ...\n\nWhat is the rest of this sentence?\n\n{options_}'),
        Template('Fill in what is missing so that it makes sense.\n\n{beginning} ...\n{options_}'),
        Template('Two people finish the same sentence, and one of them has not been paying attention. Whose ending is better?\n\n'
                 'Sentence: {beginning}\n{options_}'),
        Template('Mia: {beginning}\nTom: Your message broke off. I can think of two ways that it may go on.\n{options_}\n'
                 'Mia: It should have said'),
        Template('Common sense test, part 2: endings\n{beginning}\n{options_}\nCorrect ending:'),
        Template('{options_}\n\nWhich of these should follow upon "{beginning}"?'),
        Template('A: Let me read it to you. "{beginning} ..."\nB: Stop, I know how that ends!\n{options_}\nB:'),
        Template('Continue, naming the right one of those that were mentioned.\n\n{beginning}'),
        Template('I have forgotten how this ends, please say it for me: {beginning}'),
        Template('Only one of the endings fits how things are in the world; in the other, somebody or something has been mixed up.\n'
                 '{options_}\n\nBegins: {beginning}\nEnds:'),
    ),
    baselines=(
        Template('{beginning}'),
        Template('sentence: {beginning}'),
    ),
)

# WSC: does a pronoun stand for a noun phrase, yes or no? From the Winograd schema challenge.
#     text     The carpenter thanked the miller, because he had lent him a ladder.
#     pronoun  he
#     noun     The miller
#     answer   yes
WSC = DatasetSpec(
    name='wsc',
    cluster='coreference',
    source=Tfds('super_glue/wsc:1.0.2'),
    splits=Splits('train[:-50]', 'train[-50:]', 'validation'),
    fields=lambda row: {'text': row['text'], 'pronoun': row['span2_text'], 'noun': row['span1_text'], 'answer': row['label']},
    options=('no', 'yes'),
    lineage=('Winograd schemas',),
    licence='CC BY 4.0',
    link='https://super.gluebenchmark.com',
    train_examples=500,
    validation_examples=50,
    test_examples=104,
    templates=(
        Template('{text}\n\nDoes "{pronoun}" stand for "{noun}" here?\n\n{options_}'),
        Template('Text: {text}\nPronoun: {pronoun}\nNoun: {noun}\n\nDo the pronoun and the noun mean the same person or thing?\n'
                 '{options_}'),
        Template('A pupil has underlined "{pronoun}" and drawn an arrow to "{noun}" in this passage: {text} Is the arrow correct?\n'
                 '{options_}'),
        Template('"{text}" I am not sure about the "{pronoun}" in there. Is it "{noun}"? Just say yes or no.'),
        Template('Check the following analysis.\n\nPassage: {text}\nAnalysis: "{pronoun}" refers to "{noun}"\n\n{options_}\nCorrect?'),
        Template('Is "{noun}" what is meant by the word "{pronoun}" in the text below?\n{options_}\n\n{text}'),
        Template('Mother: {text}\nChild: When you say "{pronoun}", do you mean "{noun}"?\n{options_}\nMother:'),
        Template('Proofreading. The author wants to put "{noun}" where it now says "{pronoun}". Would the sense stay as it is?\n\n'
                 '{text}\n\n{options_}'),
        Template('Read carefully, then answer.\n\n{text}\n\nQuestion 1: Are "{pronoun}" and "{noun}" one and the same?\n{options_}'),
        Template('Link found by the program: {pronoun} = {noun}\nWhere: {text}\n\nKeep the link?\n{options_}'),
    ),
    baselines=(
        Template('{text}\nquestion: does "{pronoun}" mean "{noun}"?\nanswer:'),
        Template('{text} In this, "{pronoun}" is "{noun}", yes or no?'),
    ),
)

# WSC273: the Winograd schema challenge itself, for evaluation only. As in FLAN, the answer is the rest of the sentence.
#     beginning  The carpenter thanked the miller, because
#     options    the carpenter had lent him a ladder. / the miller had lent him a ladder.
#     answer     the miller had lent him a ladder.
WSC273 = DatasetSpec(
    name='wsc273',
    cluster='coreference',
    source=Tfds('wsc273:1.0.0'),
    splits=Splits(None, None, 'test'),
    fields=lambda row: {
        'beginning': text.strip(text.part(row['text'], 0, row['pronoun_start'])),
        'options': [text.concat(row['option1_normalized'], text.part(row['text'], row['pronoun_end'])),
                    text.concat(row['option2_normalized'], text.part(row['text'], row['pronoun_end']))],
        'answer': row['label'],
    },
    lineage=('Winograd schemas',),
    licence='CC BY 4.0',
    link='https://cs.nyu.edu/~davise/papers/WinogradSchemas/WS.html',
    test_examples=273,
    templates=(
        Template('{beginning} ...\n\nWhich words are still to come?\n\n{options_}'),
        Template('Decide how the text continues.\n\n{beginning} ...\n\n{options_}'),
        Template('These are two ways of finishing a story, and one of them makes no sense. Give the one that does.\n{options_}\n\n'
                 'Story: {beginning}'),
        Template('Somebody began to tell me, "{beginning}" and was interrupted. What were they going to say?\n{options_}'),
        Template('Item 7. Write out the fitting end.\n\n{beginning}\n{options_}\nEnd:'),
        Template('Half of this was covered by a stain: "{beginning}" Which of the following was under it?\n\n{options_}'),
        Template('Speaker: {beginning}\nInterpreter, who guesses ahead:\n{options_}'),
        Template('{options_}\n\nYou have heard this much: "{beginning} ..." Choose the ending that agrees with it.'),
        Template('Use what you know of people and things to continue the text.\n\nBeginning: {beginning}\n{options_}\nContinuation:'),
        Template('Put the two halves together. The first half is "{beginning}" and the second is one of these.\n{options_}'),
    ),
    baselines=(
        Template('{beginning}'),
        Template('text: {beginning}'),
    ),
)

SPECS = (DEFINITE_PRONOUN_RESOLUTION, WINOGRANDE, WSC, WSC273)
