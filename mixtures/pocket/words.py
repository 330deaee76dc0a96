"""The little world's words: people, things, places, times, verbs, feelings. Tables only."""


def listed(text: str) -> tuple[str, ...]:
    """Return the words of a text."""
    return tuple(text.split())


# Who lives there. Training, validation and test stories have casts of their own (world.py).
BOYS = listed(
    'Tom Ben Sam Max Leo Jack Finn Hugo Paul Adam Luke Noah Oscar Felix Peter Karl David Simon Henry Martin Robin Frank Georg Victor'
)
GIRLS = listed(
    'Mia Anna Eva Lucy Emma Nora Ruth Clara Sara Lena Julia Alice Maria Rosa Helen Laura Olga Ella Grace Vera Paula Dora Irene Jane'
)

COLOURS = listed('red blue green yellow black white brown pink')
THINGS = listed(
    'ball cup key book hat box lamp coat bag chair drum kite boat clock spoon plate '
    'shoe bell rope basket mirror pen doll bike tent map picture bottle pillow ribbon'
)
# place -> the preposition for being there
PLACES = {
    'park': 'in',
    'market': 'at',
    'school': 'at',
    'garden': 'in',
    'kitchen': 'in',
    'station': 'at',
    'library': 'in',
    'forest': 'in',
    'beach': 'on',
    'farm': 'on',
    'museum': 'in',
    'hotel': 'at',
    'river': 'at',
    'hill': 'on',
    'church': 'in',
    'harbour': 'at',
    'castle': 'in',
    'street': 'on',
    'barn': 'in',
    'cellar': 'in',
}
TIMES = (
    'in the morning',
    'at noon',
    'in the afternoon',
    'in the evening',
    'at night',
    'on Monday',
    'on Tuesday',
    'on Wednesday',
    'on Thursday',
    'on Friday',
    'on Saturday',
    'on Sunday',
    'in spring',
    'in summer',
    'in autumn',
    'in winter',
)
NUMBERS = ('two', 'three', 'four', 'five', 'six', 'seven', 'eight', 'nine', 'ten', 'twelve')

# base, past, participle; verbs of one group mean the same
VERBS = (
    (('find', 'found', 'found'), ('discover', 'discovered', 'discovered')),
    (('buy', 'bought', 'bought'), ('purchase', 'purchased', 'purchased')),
    (('see', 'saw', 'seen'), ('notice', 'noticed', 'noticed')),
    (('make', 'made', 'made'), ('build', 'built', 'built')),
    (('hide', 'hid', 'hidden'), ('conceal', 'concealed', 'concealed')),
    (('clean', 'cleaned', 'cleaned'), ('wash', 'washed', 'washed')),
    (('break', 'broke', 'broken'), ('smash', 'smashed', 'smashed')),
    (('fix', 'fixed', 'fixed'), ('repair', 'repaired', 'repaired')),
    (('lose', 'lost', 'lost'), ('misplace', 'misplaced', 'misplaced')),
    (('carry', 'carried', 'carried'), ('bring', 'brought', 'brought')),
    (('sell', 'sold', 'sold'),),
    (('paint', 'painted', 'painted'),),
    (('draw', 'drew', 'drawn'), ('sketch', 'sketched', 'sketched')),
    (('drop', 'dropped', 'dropped'),),
)
GOING = (('go', 'went'), ('walk', 'walked'), ('run', 'ran'), ('travel', 'travelled'), ('hurry', 'hurried'))

SYNONYMS = (
    ('big', 'large'),
    ('small', 'little'),
    ('happy', 'glad'),
    ('sad', 'unhappy'),
    ('angry', 'cross'),
    ('afraid', 'scared'),
    ('quick', 'fast'),
    ('sick', 'ill'),
    ('begin', 'start'),
    ('shut', 'close'),
    ('boy', 'lad'),
    ('road', 'street'),
    ('gift', 'present'),
    ('shop', 'store'),
    ('tale', 'story'),
    ('correct', 'right'),
    ('correct', 'true'),
    ('wrong', 'false'),
    ('same', 'equal'),
    ('answer', 'reply'),
    ('select', 'choose'),
    ('pick', 'choose'),
    ('film', 'movie'),
)
OPPOSITES = (
    ('big', 'small'),
    ('old', 'new'),
    ('hot', 'cold'),
    ('good', 'bad'),
    ('happy', 'sad'),
    ('yes', 'no'),
    ('true', 'false'),
    ('right', 'wrong'),
    ('same', 'different'),
    ('positive', 'negative'),
    ('love', 'hate'),
    ('like', 'dislike'),
    ('day', 'night'),
    ('fast', 'slow'),
    ('clean', 'dirty'),
    ('wet', 'dry'),
    ('open', 'shut'),
    ('full', 'empty'),
    ('strong', 'weak'),
    ('kind', 'rude'),
)

# What people praise and blame, with words that suit the thing.
REVIEWED = {
    'film': (('funny', 'exciting'), ('boring', 'dull')),
    'book': (('funny', 'exciting'), ('boring', 'dull')),
    'soup': (('tasty', 'fresh'), ('stale', 'nasty')),
    'cake': (('tasty', 'sweet'), ('stale', 'dry')),
    'bread': (('tasty', 'fresh'), ('stale', 'mouldy')),
    'hotel': (('clean', 'cosy'), ('dirty', 'noisy')),
    'room': (('clean', 'cosy'), ('dirty', 'noisy')),
    'song': (('cheerful', 'charming'), ('dull', 'annoying')),
    'play': (('funny', 'charming'), ('boring', 'annoying')),
    'trip': (('exciting', 'cheerful'), ('tiring', 'annoying')),
    'game': (('exciting', 'cheerful'), ('boring', 'tiring')),
    'teacher': (('kind', 'charming'), ('rude', 'annoying')),
    'waiter': (('kind', 'cheerful'), ('rude', 'slow')),
    'tea': (('tasty', 'fresh'), ('nasty', 'stale')),
}
PRAISE = ('good', 'great', 'lovely', 'wonderful', 'excellent', 'splendid', 'pleasant', 'brilliant', 'superb', 'delightful')
BLAME = ('bad', 'awful', 'terrible', 'horrible', 'dreadful', 'poor', 'rotten', 'unpleasant', 'lousy', 'disappointing')
LIKING = ('liked', 'loved', 'enjoyed', 'adored', 'admired')
DISLIKING = ('disliked', 'hated', 'despised', 'detested', 'loathed')
PRAISE_SENTENCES = (
    'I will come back soon.',
    'I want more of it.',
    'Everyone should try it.',
    'I smiled all day.',
    'It was worth the money.',
    'It made me happy.',
    'Thank you so much!',
    'I have never had a better one.',
)
BLAME_SENTENCES = (
    'I will never come back.',
    'I do not want it again.',
    'Nobody should try it.',
    'I was cross all day.',
    'It was a waste of money.',
    'It made me sad.',
    'I want my money back!',
    'I have never had a worse one.',
)

# feeling -> (what such a person does, what brings it about)
FEELINGS = {
    'happy': (
        ('smiled', 'laughed', 'sang a song', 'danced'),
        (
            'won the game',
            'got a gift',
            'met an old friend',
            'saw a funny play',
            'had a birthday',
            'found the lost dog',
            'got good news',
            'won a prize',
            'heard a joke',
            'got a kind letter',
        ),
    ),
    'sad': (
        ('cried', 'wept', 'sat alone', 'said nothing'),
        (
            'lost the game',
            'lost a good friend',
            'got bad news',
            'lost a dear ring',
            'missed the party',
            'saw the old cat die',
            'had to leave home',
            'broke a dear cup',
            'was left alone',
            'failed at school',
        ),
    ),
    'afraid': (
        ('hid under the bed', 'shook', 'ran away', 'called for help'),
        (
            'saw a snake',
            'heard a strange noise at night',
            'met a wolf',
            'heard loud thunder',
            'saw a ghost',
            'was lost in the dark',
            'saw a big spider',
            'stood on a high wall',
            'smelled smoke',
            'saw a shark',
        ),
    ),
    'angry': (
        ('shouted', 'shut the door with a bang', 'shook a fist', 'kicked the wall'),
        (
            'saw a thief take the bike',
            'was told a lie',
            'was called a bad name',
            'saw a boy kick the dog',
            'was pushed on the street',
            'found the car broken by a stone',
            'had to wait for hours',
            'was tricked by a friend',
            'saw rubbish in the garden',
            'was blamed for nothing',
        ),
    ),
    'tired': (
        ('yawned', 'fell asleep', 'lay down', 'shut both eyes'),
        (
            'worked all night',
            'ran for hours',
            'could not sleep',
            'climbed a mountain',
            'carried stones all day',
            'swam across the lake',
            'cleaned the whole house',
            'rowed a boat for hours',
            'dug a deep hole',
            'walked for ten miles',
        ),
    ),
}

# (what was the matter, what somebody did about it)
CAUSES = (
    ('was hungry', 'ate some bread'),
    ('was thirsty', 'drank some water'),
    ('was sleepy', 'went to bed'),
    ('was cold', 'put on a coat'),
    ('was hot', 'opened the window'),
    ('was ill', 'called the doctor'),
    ('had dirty hands', 'used the soap'),
    ('had a dirty shirt', 'washed the shirt'),
    ('was late', 'ran to the station'),
    ('had no money', 'went to the bank'),
    ('had lost the way', 'looked at the map'),
    ('could not see in the dark', 'lit the lamp'),
    ('wanted to know the time', 'looked at the clock'),
    ('was wet from the rain', 'took a towel'),
    ('had a bad tooth', 'went to the dentist'),
    ('had a flat tyre', 'fixed the bike'),
    ('had no more milk', 'went to the shop'),
    ('had long hair', 'went to the barber'),
    ('smelled smoke', 'called the firemen'),
    ('saw a thief', 'called the police'),
    ('wanted to read', 'took a book'),
    ('wanted to write', 'took a pen'),
    ('wanted music', 'played the drum'),
    ('saw dark clouds', 'took the umbrella'),
    ('wanted to swim', 'went to the lake'),
    ('felt lonely', 'called a friend'),
    ('had a dry garden', 'watered the flowers'),
    ('had a broken shoe', 'went to the shoemaker'),
    ('wanted to cut the bread', 'took a knife'),
    ('wanted to send a letter', 'bought a stamp'),
)
