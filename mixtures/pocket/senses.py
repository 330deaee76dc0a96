"""Words with two meanings: each meaning, words that explain it, and sentences where it is meant. A table only."""

# word -> two meanings: (explanation, sentences); {who} is anybody
SENSES = {
    'bat': (
        (
            'an animal',
            ('{who} saw a bat fly out of the cave.', 'The bat sleeps all day.', 'A bat ate the flies.', 'The bat has small wings.'),
        ),
        (
            'a club for a game',
            ('{who} hit the ball with the bat.', 'The bat is made of wood.', '{who} swung the bat.', '{who} got a bat for the game.'),
        ),
    ),
    'bank': (
        (
            'a house for money',
            (
                '{who} took the money to the bank.',
                'The bank was closed.',
                'A thief robbed the bank.',
                '{who} works at the bank as a clerk.',
            ),
        ),
        (
            'the side of a river',
            (
                '{who} sat on the bank and fished.',
                'The boat lay at the bank.',
                'Reeds grow along the bank.',
                '{who} swam to the other bank.',
            ),
        ),
    ),
    'ring': (
        (
            'a jewel',
            (
                '{who} wore a gold ring.',
                'The ring was too small for the finger.',
                '{who} gave the bride a ring.',
                'The ring has a stone in it.',
            ),
        ),
        (
            'a sound',
            (
                '{who} heard the ring of the bell.',
                'There was a loud ring at the door.',
                'The ring of the clock woke {who}.',
                'We heard one ring, then two.',
            ),
        ),
    ),
    'spring': (
        (
            'a part of the year',
            ('In spring the flowers come.', '{who} was born in spring.', 'After winter comes spring.', 'This spring it rained a lot.'),
        ),
        (
            'a source of water',
            (
                '{who} drank from the spring.',
                'The spring runs down the hill.',
                'Water comes out of the spring.',
                'The spring was cold and clear.',
            ),
        ),
    ),
    'bark': (
        (
            'the skin of a tree',
            (
                'The bark of the oak is thick.',
                '{who} cut a name in the bark.',
                'Worms live under the bark.',
                'The bark fell off the old tree.',
            ),
        ),
        (
            'the call of a dog',
            (
                '{who} heard a bark and saw a dog.',
                'The dog gave a loud bark.',
                'The bark woke the baby.',
                'With a bark it ran after the cat.',
            ),
        ),
    ),
    'letter': (
        (
            'a written message',
            (
                '{who} sent a letter by post.',
                'The letter came on Monday.',
                '{who} put a stamp on the letter.',
                'She read the letter aloud.',
            ),
        ),
        (
            'a sign in a word',
            (
                'The first letter of the word is A.',
                '{who} wrote a large letter on the board.',
                'The word has one letter more.',
                'B is the second letter.',
            ),
        ),
    ),
    'match': (
        (
            'a stick to make fire',
            (
                '{who} lit the fire with a match.',
                'The match was wet and did not burn.',
                '{who} struck a match.',
                'One match is left in the packet.',
            ),
        ),
        ('a game', ('{who} won the match.', 'The match ended in a draw.', 'We watched the match at noon.', 'The team lost the match.')),
    ),
    'trunk': (
        (
            'the nose of an elephant',
            (
                'The elephant drinks with its trunk.',
                'With its trunk it took the nut.',
                'It put its trunk into the water.',
                'The elephant raised its trunk.',
            ),
        ),
        (
            'a large case',
            (
                '{who} packed the trunk for the trip.',
                'The clothes are in the trunk.',
                '{who} shut the trunk with a key.',
                'The trunk was too heavy to carry.',
            ),
        ),
    ),
    'palm': (
        ('a tree', ('Under the palm it was cool.', 'A nut fell from the palm.', '{who} climbed the palm.', 'The palm grows on the beach.')),
        (
            'the inside of a hand',
            (
                '{who} held the coin in one palm.',
                'The beetle sat on the palm of {who}.',
                'She wrote it on her palm.',
                'His palm was wet and his fingers shook.',
            ),
        ),
    ),
    'nail': (
        (
            'a piece of metal',
            (
                '{who} hit the nail with a hammer.',
                'The picture hangs from a nail.',
                'The nail went into the wall.',
                'A nail stuck out of the board.',
            ),
        ),
        (
            'the end of a finger',
            (
                '{who} bit a nail.',
                'The nail of her thumb was red.',
                '{who} cut a nail with scissors.',
                'She painted every nail of her hand.',
            ),
        ),
    ),
    'chest': (
        (
            'a part of the body',
            (
                '{who} had a pain in the chest.',
                'The doctor listened to the chest of {who}.',
                'He has hair on his chest.',
                'Her heart beat in her chest.',
            ),
        ),
        (
            'a large box',
            (
                'The gold was in the chest.',
                '{who} opened the chest with a key.',
                'The pirates buried the chest.',
                'The sheets lie in the chest.',
            ),
        ),
    ),
    'watch': (
        (
            'a small clock',
            (
                '{who} looked at the watch and hurried.',
                'The watch is ten minutes late.',
                '{who} wears a watch.',
                'His watch stopped at noon.',
            ),
        ),
        (
            'a time of guarding',
            (
                '{who} kept watch at the gate.',
                'The soldiers were on watch.',
                'It was the watch of {who} until dawn.',
                'The sailor on watch saw land.',
            ),
        ),
    ),
}
