"""Natural language inference: is a statement true, given a text? Seven of FLAN's data sets, in ten configurations.

Where there are three answers, "no" means that the statement is false, not merely that it does not follow; the templates ask accordingly.
"""

from flanlite.data.specs import text
from flanlite.data.specs.sources import Tfds
from flanlite.data.specs.specs import DatasetSpec, Splits
from flanlite.data.specs.templates import Template

# RTE: does a statement follow from a passage? From four years of the PASCAL challenges.
#     premise     The ferry to Skerry runs twice a day in summer, and not at all once the October storms have begun.
#     hypothesis  The ferry to Skerry runs all the year round.
#     answer      no
RTE = DatasetSpec(
    name='rte',
    cluster='nli',
    source=Tfds('super_glue/rte:1.0.2'),
    splits=Splits('train[:-200]', 'train[-200:]', 'validation'),
    fields=lambda row: {'premise': row['premise'], 'hypothesis': row['hypothesis'], 'answer': row['label']},
    options=('yes', 'no'),
    lineage=('RTE challenges',),
    licence='SuperGLUE terms',
    link='https://super.gluebenchmark.com',
    train_examples=2_290,
    validation_examples=200,
    test_examples=277,
    templates=(
        Template('{premise}\n\nDoes it follow from this that "{hypothesis}"?\n\n{options_}'),
        Template('Read the passage, then decide whether the claim below it has to be true.\n\nPassage: {premise}\nClaim: {hypothesis}\n\n'
                 '{options_}'),
        Template('Suppose this is all you know: "{premise}" Could you then tell a friend, with a clear conscience, "{hypothesis}"?\n'
                 '{options_}'),
        Template("Manuscript: {hypothesis}\nSource: {premise}\n\nEditor's query: does the source support the manuscript? Yes or no?"),
        Template('Exam, part A. Each item consists of a text and a statement. If the text is enough to prove the statement, write "yes"; '
                 'otherwise write "no".\n\nText: {premise}\nStatement: {hypothesis}\nYour answer:'),
        Template('Ana: The paper says, "{premise}"\nBen: So, "{hypothesis}"\n\nIs Ben drawing a conclusion that the paper bears out?\n'
                 '{options_}'),
        Template('"{hypothesis}" How do I know? Because "{premise}"\n\n{options_}\n\nIs that reason sufficient?'),
        Template('Fact check\n- on file: {premise}\n- to verify: {hypothesis}\n- verified by what is on file?\n\n{options_}'),
        Template('One reader summed up a news item in a single sentence. Did the reader keep to what the item says?\n\n'
                 'News item: {premise}\nSummary: {hypothesis}\n\n{options_}'),
        Template('Here is a short text.\n\n{premise}\n\nMake up one statement about the same matter. Must the statement follow from the '
                 'text? The answer to that has to be: {answer}.', '{hypothesis}', inverted=True),
    ),
    baselines=(
        Template('{premise}\nquestion: {hypothesis} yes or no?\nanswer:'),
        Template('{premise}\n{hypothesis}\nThe second follows from the first:'),
    ),
)

# CommitmentBank: does the writer of a passage hold that an embedded clause is true?
#     premise     A: It's a fair way to the mill. B: Nobody walks it any more. I doubt that the path is even there.
#     hypothesis  the path is there
#     answer      no
CB = DatasetSpec(
    name='cb',
    cluster='nli',
    source=Tfds('super_glue/cb:1.0.2'),
    splits=Splits('train[:-50]', 'train[-50:]', 'validation'),
    fields=lambda row: {'premise': text.plain_quotes(row['premise']), 'hypothesis': row['hypothesis'], 'answer': row['label']},
    options=('yes', 'no', 'unclear'),
    metric='superglue_cb',
    lineage=('CommitmentBank', 'British National Corpus', 'Wall Street Journal', 'Switchboard'),
    licence='SuperGLUE terms',
    link='https://github.com/mcdm/CommitmentBank',
    train_examples=200,
    validation_examples=50,
    test_examples=56,
    templates=(
        Template('Someone wrote or said this:\n\n{premise}\n\nIn their opinion, is it true that {hypothesis}?\n\n{options_}'),
        Template('Excerpt: {premise}\n\nGoing by the excerpt alone, is it the case that {hypothesis}?\n{options_}'),
        Template('Take the speaker at their word.\n\n"{premise}"\n\nWould the speaker agree that {hypothesis}? Choose one.\n{options_}'),
        Template('I want to find out whether {hypothesis}. All I have to go on is this: "{premise}" Is it so? Say yes, no or unclear.'),
        Template('Literature quiz. Judge the sentence after the extract.\n\nExtract: {premise}\n\nSentence: "{hypothesis}"\n\n'
                 'Is the sentence right?\n{options_}'),
        Template('Recording, typed out:\n{premise}\n\nNote in the margin: "{hypothesis}"\n\nIs the note correct?\n{options_}'),
        Template('Reader: Is it so that {hypothesis}?\nLibrarian: Let us look at the page. It says, "{premise}"\n'
                 'Reader: Then the answer is\n\n{options_}'),
        Template("Detective's notebook\nThe witness said: {premise}\nDoes that mean that {hypothesis}?\n{options_}\nConclusion:"),
        Template('{options_}\n\nWith which of these would you reply to the question whether {hypothesis}, if this is what you had read?\n\n'
                 '{premise}'),
        Template('Read this passage:\n{premise}\n\nPut forward a claim about it. When people ask whether your claim is true, the passage '
                 'should tell them: {answer}.', '{hypothesis}', inverted=True),
    ),
    baselines=(
        Template('{premise}\nquestion: is it true that {hypothesis}?\nanswer:'),
        Template('{premise}\n{hypothesis}: yes, no or unclear?'),
    ),
)

# Adversarial NLI: statements written to mislead a model, in three rounds of growing difficulty. Each round is a data set.
#     context     The Harrow Bell is a weekly newspaper. It was founded in 1871 by two brothers, who also printed it.
#     hypothesis  The brothers wrote most of the articles themselves.
#     answer      undecided
ANLI_TEMPLATES = (
    Template('{context}\n\nGiven the paragraph above, what can be said of the statement "{hypothesis}"?\n{options_}'),
    Template('True, false or undecided? Judge the statement by the text and by nothing else.\n\nText: {context}\nStatement: {hypothesis}'),
    Template('Encyclopedia entry:\n{context}\n\nFrom an essay about it:\n{hypothesis}\n\n'
             'Which of these marks belongs beside the line from the essay?\n{options_}'),
    Template('Statement: {hypothesis}\nSource: {context}\n\nCheck the statement against the source and label it.\n\n{options_}'),
    Template('I am collecting statements for a pub quiz, where people have to judge them. One is "{hypothesis}" and this is where I took '
             'it from: "{context}" What goes on the answer sheet? If the source does not settle it, I had better know.\n{options_}'),
    Template('Reading test\n\n{context}\n\nItem 1. {hypothesis}\n{options_}\nCopy the word that fits item 1.'),
    Template('What would a careful reader, who knows nothing but the following text, think of the claim after it?\n\n{context}\n\n'
             'Claim: {hypothesis}\n\n{options_}'),
    Template('To: fact checking\nSubject: one line in our draft\n\nBackground: {context}\n\nThe line reads: {hypothesis}\n\n'
             'Please reply with one word.\n{options_}'),
    Template('Host: Here is what we know. {context}\nContestant: Then I say, "{hypothesis}"\nHost: And my ruling is\n\n{options_}'),
    Template('{context}\n\nInvent a statement about this text that somebody who has read the text, and nothing more, would have to call '
             '{answer}.', '{hypothesis}', inverted=True),
)


def anli(number: int, train_examples: int, test_examples: int, lineage: tuple[str, ...]) -> DatasetSpec:
    """Make the data set of one of ANLI's rounds."""
    return DatasetSpec(
        name=f'anli_r{number}',
        cluster='nli',
        source=Tfds(f'anli/r{number}:0.1.0'),
        splits=Splits('train', 'validation[:200]', 'test'),
        fields=lambda row: {'context': row['context'], 'hypothesis': row['hypothesis'], 'answer': row['label']},
        options=('true', 'undecided', 'false'),
        family='anli',
        lineage=lineage,
        licence='CC BY-NC 4.0',
        link='https://github.com/facebookresearch/anli',
        train_examples=train_examples,
        validation_examples=200,
        test_examples=test_examples,
        templates=ANLI_TEMPLATES,
        baselines=(
            Template('{context}\nquestion: {hypothesis} true, false or undecided?\nanswer:'),
            Template('{context}\n{hypothesis}\nThis is'),
        ),
    )


ANLI_R1 = anli(1, 16_940, 1_000, ('HotpotQA',))
ANLI_R2 = anli(2, 45_460, 1_000, ('HotpotQA',))
ANLI_R3_LINEAGE = ('HotpotQA', 'RTE challenges', 'ROCStories', "Children's Book Test", 'MASC', 'WikiHow', 'Common Crawl news')
ANLI_R3 = anli(3, 100_450, 1_200, ANLI_R3_LINEAGE)

# MultiNLI: pairs of sentences from ten kinds of speech and writing. FLAN counts its two validation sets as two data sets.
#     premise     well we used to go down to the lake every uh every other weekend i guess
#     hypothesis  They often went to the lake.
#     answer      yes
MNLI_TEMPLATES = (
    Template('Premise: {premise}\nHypothesis: {hypothesis}\n\nIf the premise holds, does the hypothesis hold as well?\n{options_}'),
    Template('"{premise}"\n\nIs it then true that "{hypothesis}"?\n\n{options_}'),
    Template('Imagine that somebody you trust tells you, "{premise}" Would they also be right in saying, "{hypothesis}"?\n{options_}'),
    Template('Two lines from a conversation.\n\nFirst: {premise}\nSecond: {hypothesis}\n\n'
             'The first is correct. Is the second? Yes, maybe or no?'),
    Template('Logic homework, question 4\nGiven: {premise}\nTo judge: {hypothesis}\nIs what is to be judged true under what is given?\n'
             '{options_}'),
    Template('The court has to rule on a claim and may use a single piece of evidence. Is the claim true?\n\nClaim: {hypothesis}\n'
             'Evidence: {premise}\n\n{options_}'),
    Template('Sam: {premise}\nKim: You mean, {hypothesis}\nSam:\n\n{options_}'),
    Template('{options_}\n\nPick the answer to the question whether this is so: {hypothesis} You may rely on one sentence only: {premise}'),
    Template('1. Please read: {premise}\n2. Now look at this: {hypothesis}\n3. By what you read under 1, is 2 correct?\n{options_}'),
    Template('Compare what two sentences claim. When "{premise}" is a fact, is "{hypothesis}" a fact, too?\n\n{options_}'),
)


def mnli(kind: str, test_examples: int) -> DatasetSpec:
    """Make the data set of MultiNLI with one of its validation sets: `matched` has the genres of the training data, `mismatched` others."""
    return DatasetSpec(
        name=f'mnli_{kind}',
        cluster='nli',
        source=Tfds('glue/mnli:2.0.0', folder=f'glue_mnli_{kind}'),
        splits=Splits('train[:-200]', 'train[-200:]', f'validation_{kind}'),
        fields=lambda row: {'premise': text.strip(row['premise']), 'hypothesis': text.strip(row['hypothesis']), 'answer': row['label']},
        options=('yes', 'maybe', 'no'),
        family='mnli',
        lineage=('MultiNLI', 'Open American National Corpus'),
        licence='OANC and others, free use',
        link='https://cims.nyu.edu/~sbowman/multinli/',
        train_examples=392_500,
        validation_examples=200,
        test_examples=test_examples,
        templates=MNLI_TEMPLATES,
        baselines=(
            Template('{premise}\nquestion: {hypothesis} yes, no or maybe?\nanswer:'),
            Template('{premise}\n{hypothesis}\nIf the first is true, the second is true:'),
        ),
    )


MNLI_MATCHED = mnli('matched', 9_815)
MNLI_MISMATCHED = mnli('mismatched', 9_832)

# QNLI: does a sentence of an encyclopedia contain the answer to a question? Made from SQuAD, cut into sentences.
#     question  When did the tower lose its roof?
#     sentence  The tower was begun in 1420 and finished forty years later.
#     answer    no
QNLI = DatasetSpec(
    name='qnli',
    cluster='nli',
    source=Tfds('glue/qnli:2.0.0'),
    splits=Splits('train[:-200]', 'train[-200:]', 'validation'),
    fields=lambda row: {'question': row['question'], 'sentence': row['sentence'], 'answer': row['label']},
    options=('yes', 'no'),
    lineage=('SQuAD',),
    licence='CC BY-SA 4.0',
    link='https://gluebenchmark.com',
    train_examples=104_540,
    validation_examples=200,
    test_examples=5_463,
    templates=(
        Template('Question: {question}\nSentence: {sentence}\n\nIs the question answered in the sentence?\n{options_}'),
        Template('"{sentence}"\n\nHaving read only this, could you answer when somebody asks you, "{question}"?\n\n{options_}'),
        Template('Somebody entered\n{question}\nand the search engine found the line\n{sentence}\n'
                 'Should the line be highlighted as an answer?\n{options_}'),
        Template('Pupil: {question}\nTextbook: {sentence}\n\nHas the textbook told the pupil what they wanted to know? Answer yes or no.'),
        Template('Mark the item with "yes" if the sentence settles the question, and with "no" if it leaves the question open.\n\n'
                 '{sentence}\n\n{question}'),
        Template('We are collecting questions together with sentences that answer them. Shall we keep this pair?\n\nQ: {question}\n'
                 'S: {sentence}\n\n{options_}'),
        Template('I wanted to know this: {question} My book says: {sentence}\n{options_}\nHave I found what I was looking for?'),
        Template('Look at a sentence from an encyclopedia.\n\n{sentence}\n\nDoes it give the information that is asked for here? '
                 '{question}\n\n{options_}'),
        Template('Help desk, quality review\nCustomer asked: {question}\nAgent replied: {sentence}\nDid the agent answer what was asked?\n'
                 '{options_}'),
        Template('Here is a sentence: {sentence}\n\nThink of a question about the same subject. Can it be answered from the sentence? That '
                 'should be: {answer}.', '{question}', inverted=True),
    ),
    baselines=(
        Template('{sentence}\nquestion: does this answer "{question}"?\nanswer:'),
        Template('Q: {question}\nA: {sentence}\nanswered:'),
    ),
)

# WNLI: Winograd schemas as inference; the second sentence is the first with its pronoun replaced, rightly or wrongly.
#     sentence1  The bucket would not go under the tap because it was too tall.
#     sentence2  The tap was too tall.
#     answer     no
WNLI = DatasetSpec(
    name='wnli',
    cluster='nli',
    source=Tfds('glue/wnli:2.0.0'),
    splits=Splits('train[:-30]', 'train[-30:]', 'validation'),
    fields=lambda row: {'sentence1': row['sentence1'], 'sentence2': row['sentence2'], 'answer': row['label']},
    options=('no', 'yes'),
    lineage=('Winograd schemas',),
    licence='CC BY 4.0',
    link='https://cs.nyu.edu/~davise/papers/WinogradSchemas/WS.html',
    train_examples=600,
    validation_examples=30,
    test_examples=71,
    templates=(
        Template('{sentence1}\n\nIf that is so, is it also so that "{sentence2}"?\n{options_}'),
        Template('Story: {sentence1}\nInterpretation: {sentence2}\n\nWork out who or what the story is talking about. Is the '
                 'interpretation right?\n{options_}'),
        Template('Does sentence 2 follow from sentence 1?\n\nSentence 1: {sentence1}\nSentence 2: {sentence2}\n\n{options_}'),
        Template('A friend tells you, "{sentence1}" You take it to mean, "{sentence2}" Have you understood your friend? Answer yes or no.'),
        Template('Reading comprehension (one mark)\n\n{sentence1}\n\nCan we conclude the following? {sentence2}\n\n{options_}'),
        Template('Given that "{sentence1}" we say: therefore, "{sentence2}" Is the "therefore" justified?\n{options_}'),
        Template('Translator: The original says, "{sentence1}" I read it as "{sentence2}"\nProofreader: Is that how it is meant?\n\n'
                 '{options_}'),
        Template('{options_}\n\nA child has heard this sentence: {sentence1} Now the child asks about this one: {sentence2} Is it true? '
                 'Select your reply.'),
        Template('A pronoun of the upper line was replaced by what it might refer to in the lower line. Was it replaced correctly?\n\n'
                 '{sentence1}\n{sentence2}\n\n{options_}'),
        Template('Consider how things happen in the world, and then say whether the second remark is right if the first one is.\n'
                 '(1) {sentence1}\n(2) {sentence2}\n\n{options_}'),
    ),
    baselines=(
        Template('{sentence1}\nquestion: {sentence2} yes or no?\nanswer:'),
        Template('{sentence1} In other words, {sentence2} Right?'),
    ),
)

# SNLI: captions of photographs, and what crowd workers wrote about them.
#     premise     A man in a yellow coat is mending a net on the quay.
#     hypothesis  The man is waiting for his son.
#     answer      cannot tell
SNLI = DatasetSpec(
    name='snli',
    cluster='nli',
    source=Tfds('snli:1.1.0'),
    splits=Splits('train', 'validation[:200]', 'test'),
    fields=lambda row: {'premise': row['premise'], 'hypothesis': row['hypothesis'], 'answer': row['label']},
    keep=lambda row: row['label'] >= 0,  # -1 where the annotators did not agree
    options=('yes', 'cannot tell', 'no'),
    lineage=('SNLI', 'Flickr30k'),
    licence='CC BY-SA 4.0',
    link='https://nlp.stanford.edu/projects/snli/',
    train_examples=549_360,
    validation_examples=200,
    test_examples=10_000,
    templates=(
        Template('A photograph carries the caption "{premise}"\n\nIs the following true of the photograph? {hypothesis}\n{options_}'),
        Template('Picture the scene: "{premise}"\nIn that scene, is this the case? {hypothesis}\n\n{options_}'),
        Template('Caption: {premise}\nTitle: {hypothesis}\n\nIs the title right about the picture that the caption belongs to?\n\n'
                 '{options_}'),
        Template('Two friends on the phone.\n"What do you see from the window?"\n"{premise}"\n"And is this so? {hypothesis}"\n\n'
                 '{options_}'),
        Template('You cannot see the image, you only have its caption: {premise} Is it correct to say about the image, "{hypothesis}"? '
                 'Reply yes, no or cannot tell.'),
        Template('Witness statement: {premise}\nQuestion put to the witness: is it true that "{hypothesis}"?\n{options_}\n'
                 'The honest answer is:'),
        Template('Image library, review of new entries\nalternative text: {premise}\nproposed tag line: {hypothesis}\n'
                 'Is the tag line accurate?\n{options_}'),
        Template('One of these is the right answer to the question below.\n{options_}\n\n'
                 'This is happening: "{premise}" Is this happening as well? "{hypothesis}"'),
        Template('Two people describe the same moment.\n\nFirst person: {premise}\nSecond person: {hypothesis}\n\n'
                 'If the first one is right, is the second?\n\n{options_}'),
        Template('Photo caption: {premise}\n\nAdd a sentence about the photo. Anybody who knows only the caption and is asked whether your '
                 'sentence is true should reply: {answer}.', '{hypothesis}', inverted=True),
    ),
    baselines=(
        Template('{premise}\nquestion: {hypothesis} yes, no or cannot tell?\nanswer:'),
        Template('caption: {premise}\nstatement: {hypothesis}\ntrue of the picture:'),
    ),
)

SPECS = (ANLI_R1, ANLI_R2, ANLI_R3, CB, RTE, MNLI_MATCHED, MNLI_MISMATCHED, QNLI, WNLI, SNLI)
