"""Paraphrase: do two sentences say the same? FLAN's four data sets."""

from flanlite.data.specs import text
from flanlite.data.specs.sources import Tfds
from flanlite.data.specs.specs import DatasetSpec, Splits
from flanlite.data.specs.templates import Template

# MRPC: pairs of sentences from reports of the same news.
#     sentence1  The council voted on Monday to close the old swimming hall, which is losing money.
#     sentence2  On Monday the council decided to shut down the loss-making old swimming hall.
#     answer     yes
GLUE_MRPC = DatasetSpec(
    name='glue_mrpc',
    cluster='paraphrase',
    source=Tfds('glue/mrpc:2.0.0'),
    splits=Splits('train[:-200]', 'train[-200:]', 'validation'),
    fields=lambda row: {
        'sentence1': text.plain_quotes(row['sentence1']),
        'sentence2': text.plain_quotes(row['sentence2']),
        'answer': row['label'],
    },
    options=('no', 'yes'),
    metric='glue_accuracy_f1',
    lineage=('MSR Paraphrase Corpus',),
    licence='Microsoft Research licence, research use',
    link='https://www.microsoft.com/en-us/download/details.aspx?id=52398',
    train_examples=3_460,
    validation_examples=200,
    test_examples=408,
    templates=(
        Template('Sentence 1: {sentence1}\nSentence 2: {sentence2}\n\nAre these two ways of saying one thing?\n{options_}'),
        Template('Two reporters covered one story.\n\nThe first wrote: {sentence1}\nThe second wrote: {sentence2}\n\n'
                 'Did they report the same facts?\n{options_}'),
        Template('"{sentence1}"\n"{sentence2}"\n\nCould you put one in the place of the other without changing what readers learn?\n\n'
                 '{options_}'),
        Template('Is the lower line a rewording of the upper one? Answer yes or no.\n\n{sentence1}\n{sentence2}'),
        Template('Check for copied work\nsubmitted: {sentence2}\npublished: {sentence1}\n\n'
                 'Is what was submitted a paraphrase of what was published?\n{options_}'),
        Template('A: Our headline story begins, "{sentence1}"\nB: And theirs begins, "{sentence2}"\n'
                 'A: Is that one and the same statement?\n{options_}\nB:'),
        Template('News feed, search for duplicates\nitem 1: {sentence1}\nitem 2: {sentence2}\nduplicate?\n{options_}'),
        Template('Leave the wording aside and look at the content. Here is one sentence: {sentence1} And here is another: {sentence2} Is '
                 'the content equal?\n\n{options_}'),
        Template("Language exam: saying it in your own words.\n\nSentence given: {sentence1}\nCandidate's version: {sentence2}\n\n"
                 'Has the candidate kept the meaning?\n{options_}'),
        Template('{options_}\n\nReply with one of these: does whoever claims that "{sentence1}" claim just what this says? {sentence2}'),
    ),
    baselines=(
        Template('{sentence1}\n{sentence2}\nquestion: same meaning?\nanswer:'),
        Template('{sentence1}\n{sentence2}\nparaphrase:'),
    ),
)

# Quora Question Pairs: do two questions to a web page ask the same thing in other words?
#     question1  How do I get rust off a garden gate?
#     question2  What removes rust from an iron gate?
#     answer     yes
GLUE_QQP = DatasetSpec(
    name='glue_qqp',
    cluster='paraphrase',
    source=Tfds('glue/qqp:2.0.0'),
    splits=Splits('train[:-200]', 'train[-200:]', 'validation'),
    fields=lambda row: {
        'question1': text.strip(row['question1']),
        'question2': text.strip(row['question2']),
        'answer': row['label'],
    },
    # A few questions of the data are empty.
    keep=lambda row: text.every(text.length(text.strip(row['question1'])) > 0, text.length(text.strip(row['question2'])) > 0),
    options=('no', 'yes'),
    metric='glue_accuracy_f1',
    lineage=('Quora Question Pairs',),
    licence="Quora's terms of service, non-commercial use",
    link='https://quoradata.quora.com/First-Quora-Dataset-Release-Question-Pairs',
    train_examples=363_640,
    validation_examples=200,
    test_examples=40_430,
    templates=(
        Template('"{question1}"\n"{question2}"\n\nWould one answer serve both of these questions?\n{options_}'),
        Template("Moderator's desk\nasked today: {question2}\nasked before: {question1}\nMerge the new thread into the old one?\n"
                 '{options_}'),
        Template('Question A: {question1}\nQuestion B: {question2}\n\nDo A and B ask for the same information?\n\n{options_}'),
        Template('Two people have written to us. The first wants to know, "{question1}" and the second, "{question2}" May we send the same '
                 'reply to both?\n{options_}'),
        Template('{options_}\n\nTake your pick: is "{question1}" only another way to put "{question2}"?'),
        Template('Tell whether the questions are duplicates.\n\n1) {question1}\n2) {question2}\n\n{options_}'),
        Template('Kim: {question1}\nLee: How funny, I was about to ask, "{question2}"\n\nDid Kim and Lee have one and the same thing on '
                 'their minds?\n{options_}'),
        Template('I typed "{question1}" into the box, and the site sent me to "{question2}" instead. Was that what I had asked?\n'
                 '{options_}'),
        Template('Compare what the two askers are after; how they put it does not count.\n\nFirst question: {question1}\n'
                 'Second question: {question2}\nAre they after the same thing?\n{options_}'),
        Template('Suppose you have dealt with this in full: "{question1}" Have you then dealt with this as well? "{question2}"\n\n'
                 '{options_}'),
    ),
    baselines=(
        Template('{question1}\n{question2}\nduplicate questions:'),
        Template('question 1: {question1}\nquestion 2: {question2}\nsame meaning:'),
    ),
)

# PAWS: pairs of sentences that share nearly all their words, made by swapping words, and by translating them back and forth. These are the
# labelled pairs from Wikipedia, split into tokens (TFDS's first configuration).
#     sentence1  In 1904 the mill was sold by Harrow to the town of Skerry .
#     sentence2  In 1904 the mill was sold by the town of Skerry to Harrow .
#     answer     no
PAWS_WIKI = DatasetSpec(
    name='paws_wiki',
    cluster='paraphrase',
    source=Tfds('paws_wiki:1.1.0'),
    splits=Splits('train', 'validation[:200]', 'test'),
    fields=lambda row: {
        'sentence1': text.plain_quotes(row['sentence1']),
        'sentence2': text.plain_quotes(row['sentence2']),
        'answer': row['label'],
    },
    options=('no', 'yes'),
    lineage=('PAWS',),
    licence='free for any use, with thanks to Google',
    link='https://github.com/google-research-datasets/paws',
    train_examples=49_400,
    validation_examples=200,
    test_examples=8_000,
    templates=(
        Template('These two sentences are made of nearly the same words. Do they mean the same, too?\n\n{sentence1}\n{sentence2}\n\n'
                 '{options_}'),
        Template('Before: {sentence1}\nAfter: {sentence2}\n\nAn editor has moved words about. Has the meaning survived?\n{options_}'),
        Template('Who did what, and where, and when? Make sure that both sentences agree in every point.\n\n(a) {sentence1}\n'
                 '(b) {sentence2}\n\nDo they?\n{options_}'),
        Template('Encyclopedia, list of changes\nold version: {sentence1}\nnew version: {sentence2}\nminor change, content kept?\n'
                 '{options_}'),
        Template('If "{sentence1}" is true, must "{sentence2}" be true, and the other way about?\n\n{options_}'),
        Template('Watch out for words that have changed places. Does "{sentence2}" state what "{sentence1}" states?\n{options_}'),
        Template('{options_}\n\nMy sister read to me, "{sentence1}" What I wrote down was "{sentence2}" Is my note faithful to what she '
                 'read?'),
        Template('Author: I wrote, "{sentence1}"\nCopy editor: I have made it "{sentence2}"\nAuthor: Does that still tell readers what I '
                 'meant to tell them?\n{options_}\nCopy editor:'),
        Template('Paraphrase or not? Write yes if one of these sentences is a paraphrase of the other, and no if it is not.\n\n'
                 '{sentence1}\n{sentence2}'),
        Template('Line 1: {sentence1}\nLine 2: {sentence2}\n\nA translator was given line 2 in place of line 1. Will foreign readers get '
                 'the right information all the same?\n{options_}'),
    ),
    baselines=(
        Template('{sentence1}\n{sentence2}\nquestion: do both say the same?\nanswer:'),
        Template('{sentence1}\n{sentence2}\nequivalent:'),
    ),
)

# STS-B: how alike two sentences are in meaning, from 0 to 5, rounded to whole points.
#     sentence1  A dog is chasing a ball on the beach.
#     sentence2  A dog runs along the beach.
#     answer     3
STSB = DatasetSpec(
    name='stsb',
    cluster='paraphrase',
    source=Tfds('glue/stsb:2.0.0'),
    splits=Splits('train[:-100]', 'train[-100:]', 'validation'),
    fields=lambda row: {'sentence1': row['sentence1'], 'sentence2': row['sentence2'], 'answer': text.rounded(row['label'])},
    options=('0', '1', '2', '3', '4', '5'),
    metric='glue_stsb',
    lineage=('SemEval STS', 'MSR Paraphrase Corpus', 'MSR Video Descriptions', 'Flickr30k'),
    licence='CC BY-SA 4.0',
    link='https://ixa2.si.ehu.eus/stswiki/index.php/STSbenchmark',
    train_examples=5_640,
    validation_examples=100,
    test_examples=1_500,
    templates=(
        Template('From 0 for nothing in common up to 5 for the very same meaning, how close are these two sentences?\n\n1. {sentence1}\n'
                 '2. {sentence2}\n\n{options_}'),
        Template('{sentence1}\n{sentence2}\n\nGive these two lines a number for what they share in meaning; 0 is the least, 5 the most.'),
        Template('How many points out of five does the second sentence earn for saying what the first one says?\n\nFirst: {sentence1}\n'
                 'Second: {sentence2}\n{options_}'),
        Template('Marking guide: 5 for one and the same meaning, 3 where something that matters differs, 1 where only the topic is shared, '
                 '0 where nothing is; use the numbers between for cases between.\n\nPair: "{sentence1}" and "{sentence2}"\nMark:'),
        Template('Text A: {sentence1}\nText B: {sentence2}\n\nPick the number that tells how far A and B agree.\n{options_}'),
        Template('Judge: Two descriptions are before us. "{sentence1}" is one and "{sentence2}" the other. Jury, what is your score for '
                 'likeness?\n{options_}\nJury:'),
        Template('Compare\n- {sentence1}\nwith\n- {sentence2}\nand state how similar they are as a whole number; five is the most.\n\n'
                 '{options_}'),
        Template('I searched for "{sentence1}" and what I got was "{sentence2}" How good a match is that, if 0 is useless and 5 is '
                 'perfect?\n\n{options_}'),
        Template('How close in meaning two sentences are can be rated from 0 to 5. Write one that gets {answer} points when it is compared '
                 'with this one.\n\n{sentence1}', '{sentence2}', inverted=True),
        Template('Sentence: {sentence2}\nWanted: another sentence. Somebody who compares the two meanings on a scale from 0 to 5 should '
                 'arrive at {answer}.', '{sentence1}', inverted=True),
    ),
    baselines=(
        Template('{sentence1}\n{sentence2}\nsimilarity from 0 to 5:'),
        Template('sentence 1: {sentence1}\nsentence 2: {sentence2}\nscore out of 5:'),
    ),
)

SPECS = (GLUE_MRPC, GLUE_QQP, PAWS_WIKI, STSB)
