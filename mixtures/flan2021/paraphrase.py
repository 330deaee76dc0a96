"""Paraphrase: do two sentences say the same? Two of FLAN's data sets."""

from flanlite.data import text
from flanlite.data.sources import Tfds
from flanlite.data.specs import DatasetSpec, Splits
from flanlite.data.templates import Template

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
    lineage=('MSR Paraphrase Corpus',),
    licence='Microsoft Research licence, research use',
    link='https://www.microsoft.com/en-us/download/details.aspx?id=52398',
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
    metric='pearson',
    lineage=('SemEval STS', 'MSR Paraphrase Corpus', 'MSR Video Descriptions', 'Flickr30k'),
    licence='CC BY-SA 4.0',
    link='https://ixa2.si.ehu.eus/stswiki/index.php/STSbenchmark',
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

SPECS = (GLUE_MRPC, STSB)
