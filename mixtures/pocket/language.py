"""Talo, an invented language: a word for each of the world's words, the verb last, no articles, all in small letters."""

import functools
import random

from flanlite.mixtures.pocket import words
from flanlite.mixtures.pocket.world import Event

CONSONANTS = 'bdfgklmnprstvz'
VOWELS = 'aeiou'
# Parts of speech show in the ending.
ENDINGS = {'thing': 'o', 'place': 'um', 'colour': 'i', 'verb': 'ek'}


@functools.cache
def lexicon() -> dict[str, str]:
    """Return English word -> Talo word, for things, places, colours and the first verb of each group (by its base form)."""
    dice = random.Random('talo')
    groups = {
        'thing': words.THINGS,
        'place': tuple(words.PLACES),
        'colour': words.COLOURS,
        'verb': tuple(group[0][0] for group in words.VERBS) + ('go', 'give', 'meet'),
    }
    table: dict[str, str] = {}
    for group, members in groups.items():
        for word in members:
            while (talo := _stem(dice) + ENDINGS[group]) in table.values():
                pass
            table[word] = talo
    return table


def _stem(dice: random.Random) -> str:
    return ''.join(dice.choice(letters) for letters in (CONSONANTS, VOWELS, CONSONANTS))


def talo(event: Event) -> str:
    """Tell an event in Talo, in the order who, to whom, thing and colour, place, verb."""
    table = lexicon()
    verb = words.VERBS[event.verb][0][0] if event.kind == 'act' else event.kind
    parts = [event.who.lower()]
    if event.other:
        parts.append('a ' + event.other.lower())
    if event.kind in ('act', 'give'):
        parts += [table[event.thing], table[event.colour]]
    parts += [table[event.place], table[verb]]
    return ' '.join(parts) + '.'
