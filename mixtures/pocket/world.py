"""The little world: events (who did what, where and when) and ways to tell them. Each split has a world of its own, all from one seed."""

import dataclasses
import random
import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from flanlite.mixtures.pocket import words

SEED = 1
ROWS = {'train': 2_000, 'validation': 200, 'test': 200}
DRAWS = 10  # how often to draw for each row, before a data set stays smaller
# Who appears in a split's stories: slices of BOYS and GIRLS. The pretraining text knows everybody.
CASTS = {'train': slice(0, 14), 'validation': slice(14, 18), 'test': slice(18, 24), 'text': slice(0, 24)}
# Which pairs (a thing and its place, a word and its topic ...) belong to a split: the pair's checksum modulo 10.
SHARES = {'train': range(0, 7), 'validation': range(7, 8), 'test': range(8, 10), 'text': range(0, 7)}


@dataclasses.dataclass(frozen=True)
class Event:
    """An event. `kind` is act, go, give or meet; fields that do not apply to the kind are empty."""

    kind: str
    who: str
    verb: int = 0
    colour: str = ''
    thing: str = ''
    other: str = ''
    place: str = ''
    time: str = ''

    @property
    def where(self) -> str:
        """Return the place with its preposition."""
        return f'{words.PLACES[self.place]} the {self.place}'

    @property
    def what(self) -> str:
        """Return the thing with its colour."""
        return f'{self.colour} {self.thing}'


# Ways to tell an event, by kind; the second half of each is told less often.
TELLINGS = {
    'act': (
        '{who} {past} {a_what} {where}.',
        '{where}, {who} {past} {a_what}.',
        'it was {where} that {who} {past} {a_what}.',
        '{a_what} was {participle} by {who} {where}.',
        'it was {who} who {past} {a_what} {where}.',
    ),
    'go': (
        '{who} {went} to the {place} {time}.',
        '{time}, {who} {went} to the {place}.',
        'it was {time} that {who} {went} to the {place}.',
        '{who} made a trip to the {place} {time}.',
    ),
    'give': (
        '{who} gave {other} {a_what} {where}.',
        '{who} gave {a_what} to {other} {where}.',
        '{where}, {other} got {a_what} from {who}.',
        '{other} was given {a_what} by {who} {where}.',
    ),
    'meet': (
        '{who} met {other} {where} {time}.',
        '{time}, {who} met {other} {where}.',
        '{where}, {who} met {other} {time}.',
        '{who} came across {other} {where} {time}.',
    ),
}
QUESTIONS = {
    'act': {
        'who': 'Who {past} the {thing}?',
        'what': 'What did {who} {base}?',
        'place': 'Where did {who} {base} the {thing}?',
        'colour': 'What colour was the {thing}?',
    },
    'go': {'who': 'Who went to the {place}?', 'place': 'Where did {who} go?', 'time': 'When did {who} go to the {place}?'},
    'give': {
        'who': 'Who gave a {thing} to {other}?',
        'other': 'Who got a {thing} from {who}?',
        'what': 'What did {who} give to {other}?',
        'place': 'Where did {who} give {other} the {thing}?',
    },
    'meet': {
        'who': 'Who met {other}?',
        'other': 'Whom did {who} meet?',
        'place': 'Where did {who} meet {other}?',
        'time': 'When did {who} meet {other}?',
    },
}
YES_NO = {
    'act': 'Did {who} {base} {a_what} {where}?',
    'go': 'Did {who} go to the {place} {time}?',
    'give': 'Did {who} give {a_what} to {other}?',
    'meet': 'Did {who} meet {other} {where}?',
}
# What can be changed about an event so that another statement comes out.
CHANGES = {
    'act': ('who', 'verb', 'colour', 'thing', 'place'),
    'go': ('who', 'place', 'time'),
    'give': ('who', 'other', 'colour', 'thing', 'swap'),
    'meet': ('who', 'other', 'place'),
}


def sentence(text: str) -> str:
    """Return a text with a capital first letter."""
    return text[:1].upper() + text[1:]


def article(noun: str) -> str:
    """Put `a` or `an` before a noun."""
    return ('an ' if noun[0] in 'aeiou' else 'a ') + noun


def is_girl(name: str) -> bool:
    """Return whether a person is a girl, and so `she`."""
    return name in words.GIRLS


class World:
    """One split's share of the world, and its random numbers."""

    def __init__(self, split: str, name: str) -> None:
        self.split = split
        self.rng = random.Random(f'{SEED}/{name}/{split}')
        self.boys, self.girls = words.BOYS[CASTS[split]], words.GIRLS[CASTS[split]]
        self.people = self.boys + self.girls

    def owns(self, *key: str) -> bool:
        """Return whether a combination belongs to this split."""
        return zlib.crc32('/'.join(key).encode()) % 10 in SHARES[self.split]

    def share(self, values: Sequence[Any]) -> Sequence[Any]:
        """Return this split's part of a short list: the last fifth for test, the tenth before it for validation, the rest for training.

        Validation and test have at least one value each.
        """
        test = max(1, len(values) // 5)
        validation = max(1, len(values) // 10)
        cuts = {'validation': slice(-test - validation, -test), 'test': slice(-test, None)}
        return values[cuts.get(self.split, slice(None, -test - validation))]

    def pick(self, values: Sequence[Any], but: Sequence[Any] = ()) -> Any:
        """Choose one value that is not in `but`."""
        while True:
            value = values[int(self.rng.random() * len(values))]
            if value not in but:
                return value

    def pair(self, first: Sequence[str], second: Sequence[str]) -> tuple[str, str]:
        """Choose a pair that this split owns."""
        while True:
            pair = self.pick(first), self.pick(second)
            if self.owns(*pair):
                return pair

    def chance(self, probability: float) -> bool:
        """Return True with a probability."""
        return self.rng.random() < probability

    def several(self, values: Sequence[Any], count: int) -> list[Any]:
        """Choose several different values."""
        return self.rng.sample(list(values), count)

    def shuffled(self, values: Sequence[Any]) -> list[Any]:
        """Return the values in a random order."""
        return self.several(values, len(values))

    def options(self, answer: str, others: Sequence[str], count: int) -> list[str]:
        """Return the answer and the first of the other values, `count` in all, in random order."""
        rest = [other for other in dict.fromkeys(others) if other != answer]
        return self.shuffled([answer, *rest[: count - 1]])

    def event(self, kind: str = '', but: Sequence[str] = ()) -> Event:
        """Draw an event of people that are not in `but`."""
        kind = kind or self.pick(('act', 'act', 'go', 'give', 'meet'))
        who = self.pick(self.people, but)
        other = self.pick(self.people, (who, *but)) if kind in ('give', 'meet') else ''
        place, thing = self.pair(tuple(words.PLACES), words.THINGS)
        return Event(kind, who, self.pick(range(len(words.VERBS))), self.pick(words.COLOURS), thing, other, place, self.pick(words.TIMES))

    def story(self, count: int) -> list[Event]:
        """Draw several events of different people, things, places and times."""
        events: list[Event] = []
        while len(events) < count:
            event = self.event(but=[name for before in events for name in (before.who, before.other)])
            if all(event.place != before.place and event.thing != before.thing and event.time != before.time for before in events):
                events.append(event)
        return events

    def tell(self, event: Event, *, form: int | None = None, synonyms: bool = True) -> str:
        """Tell an event in a sentence, in one of several ways."""
        forms = TELLINGS[event.kind]
        verbs = words.VERBS[event.verb]
        _, past, participle = self.pick(verbs) if synonyms else verbs[0]
        return sentence(
            forms[self.pick(range(len(forms))) if form is None else form].format(
                who=event.who,
                other=event.other,
                past=past,
                participle=participle,
                went=self.pick(words.GOING)[1] if synonyms else 'went',
                a_what=article(event.what),
                where=event.where if event.place else '',
                place=event.place,
                time=event.time,
            )
        )

    def retell(self, event: Event, told: str) -> str:
        """Tell an event once more, in other words."""
        while (again := self.tell(event)) == told:
            pass
        return again

    def ask(self, event: Event, aspect: str) -> str:
        """Ask for one aspect of an event."""
        return self._fill(QUESTIONS[event.kind][aspect], event)

    def ask_yes_no(self, event: Event) -> str:
        """Ask whether an event took place."""
        return self._fill(YES_NO[event.kind], event)

    def _fill(self, text: str, event: Event) -> str:
        base, past, _ = words.VERBS[event.verb][0]
        return text.format(
            who=event.who,
            other=event.other,
            base=base,
            past=past,
            a_what=article(event.what),
            thing=event.thing,
            where=event.where,
            place=event.place,
            time=event.time,
        )

    def change(self, event: Event, aspect: str = '') -> Event:
        """Return an event that differs in one aspect."""
        aspect = aspect or self.pick(CHANGES[event.kind])
        if aspect == 'swap':
            return dataclasses.replace(event, who=event.other, other=event.who)
        values = {
            'who': self.people,
            'other': self.people,
            'verb': range(len(words.VERBS)),
            'colour': words.COLOURS,
            'thing': words.THINGS,
            'place': tuple(words.PLACES),
            'time': words.TIMES,
        }[aspect]
        return dataclasses.replace(event, **{aspect: self.pick(values, (getattr(event, aspect), event.who, event.other))})

    def pronoun(self, name: str) -> str:
        """Return `he` or `she`."""
        return 'she' if is_girl(name) else 'he'


def answer_text(event: Event, aspect: str) -> str:
    """Return an aspect of an event as a short answer."""
    if aspect == 'what':
        return article(event.what)
    return 'the ' + event.place if aspect == 'place' else getattr(event, aspect)


def all_values(world: World, aspect: str) -> list[str]:
    """Return wrong answers to choose from: four random values of an aspect."""
    if aspect == 'what':
        return [article(f'{world.pick(words.COLOURS)} {world.pick(words.THINGS)}') for _ in range(4)]
    if aspect == 'place':
        return ['the ' + place for place in world.several(words.PLACES, 4)]
    return world.several({'who': world.people, 'other': world.people, 'colour': words.COLOURS, 'time': words.TIMES}[aspect], 4)


def rows(name: str, make: Callable[[World], Mapping[str, Any]], *, mixed: bool = True) -> Callable[[str], list[Mapping[str, Any]]]:
    """Return a function from a split's name to its rows. All rows are different, and no row could be in two splits.

    Args:
        name: the data set's name; part of the seed.
        make: draws one row from a world.
        mixed: whether `make` may draw the same row for two splits; each row then belongs to one split, by its checksum. Otherwise `make`
            draws only what its split owns.
    """

    def generate(split: str) -> list[Mapping[str, Any]]:
        world = World(split, name)
        drawn: dict[str, Mapping[str, Any]] = {}
        for _ in range(DRAWS * ROWS[split]):
            row = make(world)
            if not mixed or world.owns(*(str(value) for field, value in row.items() if field != 'options')):
                drawn.setdefault(repr(row), row)
            if len(drawn) == ROWS[split]:
                break
        return list(drawn.values())

    return generate
