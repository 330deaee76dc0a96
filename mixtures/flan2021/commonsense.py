"""Commonsense: what usually causes, follows or achieves what? FLAN's four data sets."""

from flanlite.data.specs import text
from flanlite.data.specs.sources import Tfds
from flanlite.data.specs.specs import DatasetSpec, Splits
from flanlite.data.specs.templates import Template

MARKERS = r'\[(header|title|step|substeps)\] '  # of WikiHow's pages, as HellaSwag writes them

# COPA: the likelier of two causes or effects.
#     premise   The candle went out.
#     relation  cause
#     options   Someone opened the window. / Someone closed the book.
#     answer    Someone opened the window.
COPA = DatasetSpec(
    name='copa',
    cluster='commonsense',
    source=Tfds('super_glue/copa:1.0.2'),
    splits=Splits('train[:-50]', 'train[-50:]', 'validation'),
    fields=lambda row: {
        'premise': row['premise'],
        'relation': row['question'],  # "cause" or "effect"
        'options': [row['choice1'], row['choice2']],
        'answer': row['label'],
    },
    lineage=('COPA',),
    licence='BSD-2-Clause',
    link='https://people.ict.usc.edu/~gordon/copa.html',
    train_examples=350,
    validation_examples=50,
    test_examples=100,
    templates=(
        Template('{premise}\n\nWhat is the more plausible {relation}?\n\n{options_}'),
        Template('Which of the two sentences states the {relation} of the event?\n\nEvent: {premise}\n{options_}'),
        Template('Here is something that happened: {premise} One of the following was the {relation}. Which one?\n\n{options_}'),
        Template('Child: "{premise}" And what is the {relation} of that?\nParent: Think! There are two answers you could give.\n'
                 '{options_}\nChild:'),
        Template('Reasoning about everyday life, item 12\nsituation: {premise}\nwanted: the {relation}\n{options_}'),
        Template('Event: {premise}\nState its {relation} in a sentence from the list.\n{options_}'),
        Template('If you had to guess the {relation} of this, what would you guess?\n\n"{premise}"\n\n{options_}'),
        Template('I am writing the shortest of stories, in two sentences. One of them is "{premise}" The other tells the {relation}. Which '
                 'should I take?\n{options_}'),
        Template('Describe an event that has this as its {relation}: {answer}', '{premise}', inverted=True),
        Template('"{answer}" That was the {relation}. But what was it the {relation} of?', '{premise}', inverted=True),
    ),
    baselines=(
        Template('{premise}\nquestion: what is the {relation}?\nanswer:'),
        Template('{premise} The {relation}:'),
    ),
)

# HellaSwag: how does a description of a video, or a how-to article, go on?
#     activity  Sharpening knives
#     context   A man lays a whetstone on a wet cloth. he
#     answer    draws the blade along the stone, first one side and then the other.
HELLASWAG = DatasetSpec(
    name='hellaswag',
    cluster='commonsense',
    source=Tfds('hellaswag:1.1.0'),
    splits=Splits('train[:-200]', 'train[-200:]', 'validation'),
    fields=lambda row: {
        'context': text.substitute(row['context'], MARKERS, ''),
        'activity': row['activity_label'],
        'options': [text.substitute(row['endings'][place], MARKERS, '') for place in range(4)],
        'answer': row['label'],
    },
    lineage=('ActivityNet Captions', 'WikiHow'),
    licence='MIT',
    link='https://rowanzellers.com/hellaswag/',
    train_examples=39_700,
    validation_examples=200,
    test_examples=10_042,
    templates=(
        Template('{context} ...\n\nHow does this go on?\n\n{options_}'),
        Template('Choose the continuation that makes sense.\n\n{context} ...\n\n{options_}'),
        Template('This account of an activity breaks off in the middle: "{context} ..."\nOf the following endings, one belongs to it.\n'
                 '{options_}'),
        Template('Only one of these endings was written by a human being who knew what really comes next.\n{options_}\n\n'
                 'The beginning is: {context}\nThe right ending is:'),
        Template('Topic: {activity}\nSo far: {context} ...\n\nWhat happens next?\n{options_}'),
        Template('The page is torn. This is what can still be read: "{context}" What stood on the missing part?\n\n{options_}'),
        Template('Finish the text in a sensible way.\n\n{context}\n{options_}'),
        Template('From an article headed "{activity}":\n\n{context} ...\n\nPick what the article says then.\n{options_}'),
        Template('Storyteller: {context}\nListener: Wait, I can guess the rest!\n{options_}\nListener: It goes on,'),
        Template('Bear in mind what people do, and in which order they do it, and choose the likeliest next words.\n\nText: {context}\n\n'
                 '{options_}'),
    ),
    baselines=(
        Template('{context}'),
        Template('{activity}: {context}'),
    ),
)

# PIQA: which of two ways of doing something works?
#     goal     To get chewing gum out of a shirt,
#     options  freeze the shirt and break the gum off. / warm the shirt and break the gum off.
#     answer   freeze the shirt and break the gum off.
PIQA = DatasetSpec(
    name='piqa',
    cluster='commonsense',
    source=Tfds('piqa:1.0.0'),
    splits=Splits('train[:-100]', 'train[-100:]', 'validation'),
    fields=lambda row: {
        'goal': text.strip(row['goal']),
        'options': [text.strip(row['sol1']), text.strip(row['sol2'])],
        'answer': row['label'],
    },
    lineage=('PIQA', 'Instructables'),
    licence='AFL-3.0',
    link='https://yonatanbisk.com/piqa/',
    train_examples=16_010,
    validation_examples=100,
    test_examples=1_838,
    templates=(
        Template('"{goal}"\n\nHow would you do it?\n\n{options_}'),
        Template('Goal: "{goal}"\nWhich way of reaching it works?\n{options_}'),
        Template('Household tips. A reader would like advice on this: "{goal}" Two other readers have sent in answers. Print the one that '
                 'is of use.\n{options_}'),
        Template('One of the two methods is practical, the other is not. Pick the practical one.\n{options_}\n\nTask: {goal}'),
        Template('Here is something I want to get done: "{goal}"\nTell me what to do.\n{options_}'),
        Template('Apprentice: I have been given this job: "{goal}"\nMaster: And what will you do? You can see two ways, I suppose.\n'
                 '{options_}\nApprentice:'),
        Template('Test of practical sense\nAim: {goal}\n{options_}\nThe better solution is:'),
        Template('Which instruction would you follow with this in mind?\n\n"{goal}"\n\n{options_}'),
        Template('Read this instruction: {answer}\nWhat is it good for? State the aim.', '{goal}', inverted=True),
        Template('A page on the web tells you the following.\n\n{answer}\n\nGive the page a heading that says what one can do that way.',
                 '{goal}', inverted=True),
    ),
    baselines=(
        Template('goal: {goal}\nsolution:'),
        Template('{goal}'),
    ),
)

# Story Cloze: which of two sentences ends a story of five sentences? There is no training set with two endings, so the validation set is
# trained on, as in FLAN. TFDS reads files that the authors give on request.
#     story    Tom wanted to bake for his sister. He had never baked before. He read the salt's label as sugar. The cake looked splendid.
#     options  His sister took one bite and reached for the water. / His sister asked him for the recipe.
#     answer   His sister took one bite and reached for the water.
STORY_CLOZE = DatasetSpec(
    name='story_cloze',
    cluster='commonsense',
    source=Tfds('story_cloze/2016:1.0.0', folder='story_cloze', manual=True),
    splits=Splits('validation[:-200]', 'validation[-200:]', 'test'),
    fields=lambda row: {
        'story': text.strip(row['context']),
        'options': [text.strip(row['endings'][0]), text.strip(row['endings'][1])],
        'answer': row['label'] - 1,  # 1 or 2 in the data
    },
    keep=lambda row: row['label'] > 0,
    lineage=('ROCStories',),
    licence='on request, research use',
    link='https://www.cs.rochester.edu/nlp/rocstories/',
    train_examples=1_670,
    validation_examples=200,
    test_examples=1_871,
    templates=(
        Template('{story}\n\nWhich of the two is the better last sentence?\n\n{options_}'),
        Template('A story of five sentences has lost its fifth. Put it back.\n\nStory: {story}\n{options_}'),
        Template('Two pupils have each finished the story, and only one of them has paid attention. What did that one write?\n\n'
                 'The story: {story}\n{options_}'),
        Template('{story} And then?\n{options_}'),
        Template('You read to your niece: "{story}" She calls out, "I know how it ends!" and she is right. What does she say?\n'
                 '{options_}'),
        Template('{options_}\n\nOne of these endings goes with what came before, the other goes against it. Take the one that goes with '
                 'it. This came before: {story}'),
        Template('Script meeting\nScene so far: {story}\nProposals for the closing shot\n{options_}\nWe take:'),
        Template('Bring this to a close that makes sense, given how people feel and behave.\n\n{story} ...\n\n{options_}'),
        Template('Write four sentences of a story that can close with this one: {answer}', '{story}', inverted=True),
        Template('"{answer}" That is how it ended. Tell me, from the beginning, what had happened up to that point.',
                 '{story}', inverted=True),
    ),
    baselines=(
        Template('{story}'),
        Template('story: {story}\nending:'),
    ),
)

SPECS = (COPA, HELLASWAG, STORY_CLOZE, PIQA)
