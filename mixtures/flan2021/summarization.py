"""Summarization: the gist of a text. Six of FLAN's data sets, one of which asks for the topic; five more, all of the news, are in
`summarization_news`.
"""

from flanlite.data.specs import text
from flanlite.data.specs.sources import Tfds
from flanlite.data.specs.specs import DatasetSpec, Splits
from flanlite.data.specs.templates import Template
from flanlite.mixtures.flan2021.summarization_news import (
    CNN_DAILYMAIL,
    GIGAWORD,
    MULTI_NEWS,
    NEWSROOM,
    NOT_BLANK,
    XSUM,
    article,
)

SHOWN = 10  # reviews of a film, or arguments in a debate, as in FLAN; hundreds would not fit into the inputs

# AESLC: what is the subject line of an email? Mail of the Enron corporation.
#     body     Hello all, the meeting room is being painted on Thursday. We shall meet in the canteen instead, at the usual time.
#     subject  Thursday's meeting moves to the canteen
AESLC = DatasetSpec(
    name='aeslc',
    cluster='summarization',
    source=Tfds('aeslc:1.0.0'),
    splits=Splits('train', 'validation[-200:]', 'test'),
    fields=lambda row: {'body': text.strip(row['email_body']), 'answer': text.strip(row['subject_line'])},
    keep=lambda row: text.every(text.matches(row['email_body'], r'(?s).*\S.*'), text.matches(row['subject_line'], r'(?s).*\S.*')),
    metric='t5_rouge',
    lineage=('Enron',),
    licence='CC BY-NC-SA 4.0',
    link='https://github.com/ryanzhumich/AESLC',
    train_examples=14_430,
    validation_examples=200,
    test_examples=1_906,
    templates=(
        Template('{body}\n\nThe email above is to go out under a subject that says what it is about. Write the subject.'),
        Template('Read the message and write the line that would stand above it in the inbox.\n\nMessage: {body}'),
        Template('What is this mail about? Say it in a few words.\n\n{body}'),
        Template('New message\nBody: {body}\nSubject:'),
        Template('Assistant, I have dictated the following, and it still lacks a heading.\n\n{body}\n\nAssistant: How about'),
        Template('An email was saved without its subject. Restore what the subject may have been.\n\n"{body}"'),
        Template('Boil this down to the few words that a busy colleague needs to see first:\n\n{body}\n\nFew words:'),
        Template('Here is a letter from our archive, to be listed by title.\n\n{body}\n\nTitle for the list:'),
        Template('This is to be the subject of an email: {answer}\nNow write the email itself.', '{body}', inverted=True),
        Template('To: everyone\nSubject: {answer}\nBody:', '{body}', inverted=True),
    ),
    baselines=(
        Template('{body}\nsubject:'),
        Template('email: {body}\nTL;DR:'),
    ),
)

# AG News: the section of a newspaper that a news item belongs to. FLAN counts this as summarization.
#     article  Oil climbs as storm nears. Crude rose by a dollar on Tuesday, as producers shut their wells before the storm.
#     answer   business
AG_NEWS_SUBSET = DatasetSpec(
    name='ag_news_subset',
    cluster='summarization',
    source=Tfds('ag_news_subset:1.0.0'),
    splits=Splits('train[:-200]', 'train[-200:]', 'test'),
    fields=lambda row: {
        'article': text.strip(text.unescape(text.replace(text.join([row['title'], row['description']], '\n'), '\\', ' '))),
        'answer': row['label'],
    },
    options=('world news', 'sports', 'business', 'science and technology'),
    lineage=("AG's corpus",),
    licence='non-commercial research',
    link='http://groups.di.unipi.it/~gulli/AG_corpus_of_news_articles.html',
    train_examples=119_800,
    validation_examples=200,
    test_examples=7_600,
    templates=(
        Template('{article}\n\nUnder what heading does this news item belong?\n\n{options_}'),
        Template('Which section of a newspaper would print the following?\n\n{article}\n{options_}'),
        Template('Sort the article by subject.\n\nArticle: {article}\n\n{options_}'),
        Template('Listener: I turned the radio on too late. What was this about?\nThe radio: {article}\n{options_}\n'
                 'Somebody who heard it all:'),
        Template('One of four tags has to be set before a report can go online.\n{options_}\n\nReport: {article}\nTag:'),
        Template('News in a word. Read the text, then sum up its field in one of the terms given.\n\n"{article}"\n\n{options_}'),
        Template('Our paper has four desks: world news, sports, business, and science and technology. Which one wrote this?\n\n{article}'),
        Template('{options_}\n\nA reader who cares for only one of these subjects has cut out an article. Which subject is it?\n\n'
                 '{article}'),
        Template('Write the beginning of a news report for the section "{answer}".', '{article}', inverted=True),
        Template('You report on {answer} for a news agency, and something has just happened. Send the first lines.',
                 '{article}', inverted=True),
    ),
    baselines=(
        Template('{article}\ntopic:'),
        Template('article: {article}\nsection of the newspaper:'),
    ),
)

# SAMSum: chats that linguists made up, and summaries in the third person.
#     dialogue  Edda: did you get the tickets??
#               Tom: not yet, the counter opens at 9
#               Edda: ok but hurry, only 40 seats on the boat
#     answer    Tom will buy tickets for the boat when the counter opens at 9.
SAMSUM = DatasetSpec(
    name='samsum',
    cluster='summarization',
    source=Tfds('samsum:1.0.0', manual=True),
    splits=Splits('train', 'validation[:200]', 'test'),
    fields=lambda row: {'dialogue': text.strip(text.replace(row['dialogue'], '\r', '')), 'answer': text.strip(row['summary'])},
    keep=lambda row: text.every(text.matches(row['dialogue'], NOT_BLANK), text.matches(row['summary'], NOT_BLANK)),
    metric='t5_rouge',
    lineage=('SAMSum',),
    licence='CC BY-NC-ND 4.0',
    link='https://arxiv.org/abs/1911.12237',
    train_examples=14_730,
    validation_examples=200,
    test_examples=819,
    templates=(
        Template('{dialogue}\n\nWhat came out of this chat? Tell it in a sentence or two.'),
        Template('Sum up the following conversation between people who text each other.\n\n{dialogue}'),
        Template('I was away from my phone and missed all this:\n\n{dialogue}\n\nWhat do I need to know?'),
        Template('Group chat\n{dialogue}\n\nDigest for those who were offline:'),
        Template('Write down, as if to somebody who knows none of them, what these people said and agreed on.\n\nMessages:\n{dialogue}\n'
                 'Report:'),
        Template('Minutes of a chat: names, news and plans, no small talk.\n\nChat: {dialogue}\n\nMinutes:'),
        Template('Who tells whom what? Retell the dialogue below without quoting anybody.\n\n{dialogue}'),
        Template('Invent the chat that could be reported like this: {answer}', '{dialogue}', inverted=True),
        Template('An author was given the outline of a scene that is played in text messages. "{answer}" Write the scene, one line a '
                 'message, with the name of its sender in front.', '{dialogue}', inverted=True),
        Template('In short: {answer}\nThe messages themselves:', '{dialogue}', inverted=True),
    ),
    baselines=(
        Template('{dialogue}\nTL;DR:'),
        Template('dialogue: {dialogue}\nsummary:'),
    ),
)

# Rotten Tomatoes: one sentence of each critic about a film, and the critics' consensus in the words of the site's editors.
#     movie    The Keeper
#     reviews  - Two hours of fog, and not one of them too long.
#              - The lighthouse acts better than the cast.
#     review   Two hours of fog, and not one of them too long.
#     answer   Slow and finely photographed, The Keeper makes up in mood for what its actors lack.
OPINION_ABSTRACTS_ROTTEN_TOMATOES = DatasetSpec(
    name='opinion_abstracts_rotten_tomatoes',
    cluster='summarization',
    source=Tfds('opinion_abstracts/rotten_tomatoes:1.0.0'),
    splits=Splits('train[:-600]', 'train[-600:-500]', 'train[-500:]'),
    fields=lambda row: {
        'movie': text.strip(row['_movie_name']),
        'reviews': text.concat('- ', text.unescape(text.join(text.collect(row['_critics']['value'])[:SHOWN], '\n- '))),
        'review': text.unescape(text.collect(row['_critics']['value'])[0]),
        'answer': text.strip(text.unescape(row['_critic_consensus'])),
    },
    keep=lambda row: text.every(
        text.length(text.collect(row['_critics']['value'])) > 0, text.matches(row['_critic_consensus'], NOT_BLANK)
    ),
    metric='t5_rouge',
    family='opinion_abstracts',
    lineage=('Rotten Tomatoes',),
    licence='for research; no licence known',
    link='https://web.eecs.umich.edu/~wangluxy/data.html',
    train_examples=3_130,
    validation_examples=100,
    test_examples=500,
    templates=(
        Template('What critics wrote about {movie}:\n{reviews}\n\nPut their verdict into one sentence.'),
        Template('Here are some reviews of a film.\n\n{reviews}\n\nWhat do most of these people think of it?'),
        Template('A site collects reviews, and above each collection it prints the consensus. Write the one for "{movie}".\n\n{reviews}'),
        Template('{movie}, the opinions:\n{reviews}\n\nThe opinions in short:'),
        Template('A: Shall we see {movie}?\nB: Let me read to you what the papers say.\n{reviews}\nA: So, all in all?\nB:'),
        Template('Find what these voices have in common and state it as if it came from one of them.\n\n{reviews}'),
        Template('Text for the programme of our film club: how was "{movie}" received? We have found the following.\n{reviews}\n\nText:'),
        Template("Of {movie} it has been said: {answer} That was the critics' general view. Write what one of them may have written.",
                 '{review}', inverted=True),
        Template('Break the consensus on a film up into the opinions behind it, a line for each critic.\n\nConsensus: {answer}',
                 '{reviews}', inverted=True),
        Template('You are to review "{movie}", and like most others you feel that it can be put so: "{answer}" Find a sentence of your '
                 'own to begin with.', '{review}', inverted=True),
    ),
    baselines=(
        Template('{reviews}\nTL;DR:'),
        Template('reviews of {movie}:\n{reviews}\nconsensus:'),
    ),
)

# iDebate: arguments from a guide to debates, and the claim that they support. FLAN inverts four of the ten templates, we three.
#     debate     This House would abolish tuition fees
#     arguments  A student who has to borrow thinks of the debt first. Where fees were raised, fewer came from poor families.
#     answer     Fees keep the poor from studying.
OPINION_ABSTRACTS_IDEBATE = DatasetSpec(
    name='opinion_abstracts_idebate',
    cluster='summarization',
    source=Tfds('opinion_abstracts/idebate:1.0.0'),
    splits=Splits('train[:-600]', 'train[-600:-500]', 'train[-500:]'),
    fields=lambda row: {
        'debate': text.strip(row['_debate_name']),
        'arguments': text.join(text.collect(row['_argument_sentences']['value'])[:SHOWN]),
        'answer': text.strip(row['_claim']),
    },
    keep=lambda row: text.every(
        text.length(text.collect(row['_argument_sentences']['value'])) > 0, text.matches(row['_claim'], NOT_BLANK)
    ),
    metric='t5_rouge',
    family='opinion_abstracts',
    lineage=('iDebate',),
    licence='for research; no licence known',
    link='https://web.eecs.umich.edu/~wangluxy/data.html',
    train_examples=1_650,
    validation_examples=100,
    test_examples=500,
    templates=(
        Template('Motion: {debate}\n\n{arguments}\n\nWhat is the point that is being made? State it as a claim.'),
        Template("Read a speaker's argument and give its thesis in one sentence.\n\n{arguments}"),
        Template('Somebody argues like this. "{arguments}" What are we to be convinced of?'),
        Template('Debating club, notes\nTopic: {debate}\nWhat was argued: {arguments}\nWhat it comes down to:'),
        Template('Chair: The motion is "{debate}", and you have the floor.\nSpeaker: {arguments}\nChair: You have ten seconds left.\n'
                 'Speaker: In a nutshell:'),
        Template('In our guide to debates each paragraph has a heading that says what it sets out to show. Write the heading for this '
                 'one.\n\n{arguments}'),
        Template('Which single statement do all these sentences support?\n\n{arguments}\n\nThey belong to a debate entitled "{debate}".'),
        Template('Defend a claim.\n\nDebate: {debate}\nClaim: {answer}\nYour defence:', '{arguments}', inverted=True),
        Template('"{answer}"\n\nWhy might someone say so? Give the reasons at length.', '{arguments}', inverted=True),
        Template('One side of a debate claimed, "{answer}" Its case ran: {arguments} And what was the motion?', '{debate}', inverted=True),
    ),
    baselines=(
        Template('{arguments}\nTL;DR:'),
        Template('arguments: {arguments}\nclaim:'),
    ),
)

# WikiLingua: a section of a WikiHow guide without the sentences in bold type that open its steps, and those sentences.
#     source  Salt draws water out of the leaves, so leave it on for an hour. If you skip this, the cabbage will never be crisp. Any clean
#             jar will do, but a wide one is easier to fill.
#     answer  Salt the cabbage. Press it into a jar.
WIKI_LINGUA_ENGLISH_EN = DatasetSpec(
    name='wiki_lingua_english_en',
    cluster='summarization',
    source=Tfds('gem/wiki_lingua_english_en:1.1.0', folder='wiki_lingua_english_en'),
    splits=Splits('train', 'validation[:200]', 'test'),
    fields=lambda row: {'source': article(row['source']), 'answer': text.strip(row['target'])},
    keep=lambda row: text.every(text.matches(row['source'], NOT_BLANK), text.matches(row['target'], NOT_BLANK)),
    metric='t5_rouge',
    lineage=('WikiLingua', 'WikiHow'),
    licence='CC BY-NC-SA 3.0',
    link='https://gem-benchmark.com/data_cards/wiki_lingua',
    train_examples=99_000,
    validation_examples=200,
    test_examples=28_614,
    templates=(
        Template('{source}\n\nThese instructions are long. List the steps in brief.'),
        Template('Shorten the how-to text to one short sentence for each step.\n\n{source}'),
        Template('What, in essence, does this guide tell its reader to do?\n\n{source}'),
        Template('How it is done, at length:\n{source}\n\nHow it is done, as a checklist:'),
        Template('My hands are full, so please call out just the essential steps of this to me.\n\n{source}'),
        Template('Every step of a guide should open with a line in bold type that says what to do. Here those lines have been lost. Write '
                 'them again, one after the other.\n\n{source}'),
        Template('Trainer: Please read this page. "{source}" Who can repeat what has to be done, and leave out the why and the how?\n'
                 'Trainee:'),
        Template('Make a summary in the imperative.\n\nGuide: {source}\nSummary:'),
        Template('Here are the steps in brief: {answer} Write the guide that explains them to a beginner.', '{source}', inverted=True),
        Template('Add to each of these instructions what one has to know in order to follow it.\n\n{answer}', '{source}', inverted=True),
    ),
    baselines=(
        Template('{source}\nTL;DR:'),
        Template('instructions: {source}\nsteps:'),
    ),
)

SPECS = (
    AESLC,
    CNN_DAILYMAIL,
    GIGAWORD,
    MULTI_NEWS,
    NEWSROOM,
    SAMSUM,
    XSUM,
    AG_NEWS_SUBSET,
    OPINION_ABSTRACTS_ROTTEN_TOMATOES,
    OPINION_ABSTRACTS_IDEBATE,
    WIKI_LINGUA_ENGLISH_EN,
)
