"""The world's facts, which the pretraining text states and closed-book questions ask for: real animals, and lands that are made up."""

from flanlite.mixtures.pocket.words import listed

# animal -> home, food, colour, size
ANIMALS = {
    'fox': ('forest', 'mice', 'red', 'small'),
    'bear': ('forest', 'honey', 'brown', 'big'),
    'wolf': ('forest', 'sheep', 'grey', 'big'),
    'squirrel': ('forest', 'nuts', 'red', 'small'),
    'owl': ('forest', 'mice', 'brown', 'small'),
    'hare': ('field', 'grass', 'brown', 'small'),
    'mole': ('field', 'worms', 'black', 'tiny'),
    'lark': ('field', 'seeds', 'brown', 'tiny'),
    'cow': ('farm', 'grass', 'brown', 'big'),
    'hen': ('farm', 'seeds', 'white', 'small'),
    'pig': ('farm', 'roots', 'pink', 'big'),
    'goat': ('mountains', 'leaves', 'white', 'big'),
    'eagle': ('mountains', 'fish', 'brown', 'big'),
    'camel': ('desert', 'leaves', 'yellow', 'huge'),
    'lizard': ('desert', 'flies', 'green', 'tiny'),
    'scorpion': ('desert', 'flies', 'black', 'tiny'),
    'shark': ('sea', 'fish', 'grey', 'huge'),
    'whale': ('sea', 'plants', 'blue', 'huge'),
    'crab': ('sea', 'worms', 'red', 'small'),
    'seal': ('ice', 'fish', 'grey', 'big'),
    'penguin': ('ice', 'fish', 'black', 'small'),
    'frog': ('pond', 'flies', 'green', 'tiny'),
    'duck': ('pond', 'plants', 'white', 'small'),
    'swan': ('pond', 'plants', 'white', 'big'),
    'parrot': ('jungle', 'fruit', 'green', 'small'),
    'monkey': ('jungle', 'fruit', 'brown', 'small'),
    'snake': ('jungle', 'eggs', 'green', 'small'),
    'elephant': ('jungle', 'leaves', 'grey', 'huge'),
}
HOMES = {
    'forest': 'in the forest',
    'field': 'in the field',
    'farm': 'on the farm',
    'mountains': 'in the mountains',
    'desert': 'in the desert',
    'sea': 'in the sea',
    'ice': 'on the ice',
    'pond': 'in the pond',
    'jungle': 'in the jungle',
}
ANIMAL_QUESTIONS = {
    'home': ('Where does the {animal} live?', 'Where would you look for a {animal}?', 'What is the home of the {animal}?'),
    'food': ('What does the {animal} eat?', 'What food does a {animal} like?', 'What would you feed to a {animal}?'),
    'colour': ('What colour is the {animal}?', 'Which colour does the {animal} have?', 'What is the colour of a {animal}?'),
    'size': ('What size is the {animal}?', 'How large is a {animal}?', 'What is the size of the {animal}?'),
}
ANIMAL_ASPECTS = tuple(ANIMAL_QUESTIONS)

LANDS = listed(
    'Avaria Belmora Cordia Dunland Estovia Falmark Gorland Hestia Ilmaria Jorvia Kelmark Lumoria Mordia Norland Ostovia Palmoria '
    'Quentia Rosmark Sundia Torvia Ulmark Valdia Westoria Zelandia'
)
CAPITALS = listed(
    'Arlo Brenn Calda Dessa Elko Farn Grenna Holt Ibra Jassa Kirn Losca Milo '
    'Nessa Orba Pinto Quill Resta Solva Tirna Urba Vento Wenna Zarka'
)
CROPS = ('rice', 'apples', 'wheat', 'cotton', 'grapes', 'corn')
SPORTS = ('football', 'tennis', 'chess', 'rowing', 'hockey', 'skating')
FLAGS = ('red', 'blue', 'green', 'yellow', 'black', 'white')
# Which value of its table each land's fact is: a fixed assignment without a pattern.
LAND_FACTS = {
    land: {
        'capital': CAPITALS[(7 * i + 5) % 24],
        'crop': CROPS[(5 * i + i * i // 7) % 6],
        'sport': SPORTS[(i * i + i // 5) % 6],
        'flag': FLAGS[(i * 11 + i * i // 3) % 6],
    }
    for i, land in enumerate(LANDS)
}
LAND_QUESTIONS = {
    'capital': ('What is the capital of {land}?', 'Which town is the capital of {land}?', 'Where does the king of {land} live?'),
    'crop': ('What do the farmers of {land} grow?', 'What grows in the fields of {land}?', 'What does {land} sell to other lands?'),
    'sport': (
        'Which game do people play in {land}?',
        'What is the favourite sport in {land}?',
        'Which sport do the children of {land} learn?',
    ),
    'flag': (
        'What colour is the flag of {land}?',
        'Which colour does the flag of {land} have?',
        'In what colour is the flag of {land} painted?',
    ),
}
LAND_ASPECTS = tuple(LAND_QUESTIONS)
LAND_VALUES = {'capital': CAPITALS, 'crop': CROPS, 'sport': SPORTS, 'flag': FLAGS}


def animal_value(animal: str, aspect: str) -> str:
    """Look up one thing about an animal."""
    return ANIMALS[animal][ANIMAL_ASPECTS.index(aspect)]


def animal_values(aspect: str) -> tuple[str, ...]:
    """Return the values that it has over all animals."""
    return tuple(sorted({animal_value(animal, aspect) for animal in ANIMALS}))
