"""Teach the pocket base to compare two statements, and see what LOCO makes of it.

    python benchmarks/comparing_base.py
    flanlite loco --gin_file=gin/runs/pocket.gin --only=all --model_dir=runs/comparing/loco \
        --gin.INITIAL_CHECKPOINT_PATH="'runs/comparing/whole'"

The shipped base goes on in five stages: equal or different phrases; sentences told again in the same words;
both, in other words, and with questions; the same of several events; at last the whole pretraining text with
nearly half of it of this kind. After each it judges documents that it has not seen: `Anna went to the park.
Anna went to the farm. Is it so?` is No. The table has the percentage that it judges right; 50 is chance. Half
an hour on two cores; stages that are done are not done again.
"""

import argparse
import pathlib
import re
from typing import NamedTuple

import flanlite
from flanlite.data.specs import registry
from flanlite.data.specs.sources import InMemory
from flanlite.data.specs.specs import Splits, TextSpec
from flanlite.mixtures.pocket import text
from flanlite.mixtures.pocket.summarization import ASIDES
from flanlite.mixtures.pocket.world import World, sentence
from flanlite.report.tables import markdown_table

BASE = 'mixtures/pocket/assets/base.safetensors'
OPPOSITE = {'Yes': 'No', 'True': 'False', 'Right': 'Wrong'}
OPPOSITE |= {word: other for other, word in OPPOSITE.items()}
JUDGED = re.compile(r'("?)(Yes|No|True|False|Right|Wrong)(\."?)$')
PHRASES = ('colour what', 'colour', 'where', 'who', 'who where', 'who colour what')


def phrases(world):
    """Draw two phrases, such as 'Mia in the park', and whether they are equal."""
    event, fields, same = world.event('act'), world.pick(PHRASES).split(), world.chance(0.5)
    changed = world.pick(fields).replace('where', 'place').replace('what', 'thing')
    both = event, event if same else world.change(event, changed)
    said = [
        ' '.join(each.thing if field == 'what' else getattr(each, field) for field in fields) for each in both
    ]
    return *said, same


def plain(first, second, same):
    return f'{first} {second} Is it so? {"Yes" if same else "No"}.'


def plain_phrases(world):
    first, second, same = phrases(world)
    return plain(sentence(first) + ',', second + '.', same)


def plain_again(world):
    event, same = world.event(), world.chance(0.5)
    told = [
        world.tell(each, form=0, synonyms=False) for each in (event, event if same else world.change(event))
    ]
    return plain(*told, same)


def verdict(world, same):
    """Return the two words to choose from, the affirmative first, and the right one."""
    names = world.pick((('yes', 'no'), ('yes', 'no'), ('yes', 'no'), ('true', 'false'), ('right', 'wrong')))
    return names, sentence(names[not same])


def judged(world, same):
    """Say whether it is so, in one of many ways."""
    (yes, no), word = verdict(world, same)
    ways = (
        f'Is it so? {word}.',
        f'"Is it so?" "{word}."',
        f'Is it true? {word}.',
        f'"Is that true?" asked {world.pick(world.people)}. "{word}."',
        f'{sentence(yes)} or {no}? {word}.',
        f'"{sentence(no)} or {yes}?" "{word}."',
        f'{word}.',
        f'Well? {word}.',
        f'Is it the same? {word}.',
    )
    return world.pick(ways)


def asked(world, event, same):
    """Ask whether an event took place."""
    question, ((yes, no), word) = world.ask_yes_no(event), verdict(world, same)
    ways = (f'{question} {word}.', f'"{question}" "{word}."', f'{question} {sentence(yes)} or {no}? {word}.')
    return world.pick(ways)


def varied_phrases(world):
    first, second, same = phrases(world)
    return f'{sentence(first)}{world.pick((", ", ". ", " and ", "; "))}{second}. {judged(world, same)}'


def told_again(world, counts=(1, 1, 2)):
    """Tell some events; then tell one of them again, or ask for it, as it was or changed."""
    events, same = world.story(world.pick(counts)), world.chance(0.5)
    told = [world.tell(event, form=0 if world.chance(0.3) else None) for event in events]
    place = world.pick(range(len(events)))
    claim = events[place] if same else world.change(events[place])
    if world.chance(0.35):
        end = asked(world, claim, same)
    else:
        link = world.pick(('', '', '', 'Now hear this: ', 'Then: ', 'And this? '))
        end = f'{link}{world.retell(claim, told[place])} {judged(world, same)}'
    if world.chance(0.1):
        told.insert(world.pick(range(len(told) + 1)), world.pick(ASIDES))
    return ' '.join([*told, end])


def of_several(world):
    return told_again(world, (1, 2, 2, 2, 3))


class Stage(NamedTuple):
    """A stage: its kinds of documents with their weights, and how many; steps, lengths, the learning rate
    at its peak, and the most tokens of an end that is to be written.
    """

    name: str
    kinds: tuple
    documents: int
    steps: int
    lengths: tuple[int, int]
    peak: float
    longest: int


SEVERAL = ((plain_again, 12), (told_again, 50), (of_several, 110), (varied_phrases, 25))
VARIED = ((plain_phrases, 1), (plain_again, 1), (told_again, 2), (varied_phrases, 1))
STAGES = (
    Stage('phrases', ((plain_phrases, 1),), 30_000, 300, (32, 8), 1e-2, 2),
    Stage('again', ((plain_phrases, 1), (plain_again, 2)), 60_000, 500, (64, 8), 1e-2, 2),
    Stage('varied', VARIED, 100_000, 1_200, (80, 8), 7e-3, 2),
    Stage('several', SEVERAL, 200_000, 1_500, (92, 8), 7e-3, 2),
    Stage('whole', (*text.KINDS, *SEVERAL), 260_000, 2_000, (96, 24), 5e-3, 4),
)
PROBES = {
    'two phrases': plain_phrases,
    'told again': plain_again,
    'one event, any telling': lambda world: told_again(world, (1,)),
    'one of two events': lambda world: told_again(world, (2,)),
    'one of three': lambda world: told_again(world, (3,)),
}


def documents(stage, share):
    """Return what makes a stage's documents."""

    def make(split):
        world = World('text', f'comparing/{stage.name}/{split}')
        drawn = [kind for kind, weight in stage.kinds for _ in range(weight)]
        for _ in range(max(100, int(share * stage.documents)) if split == 'train' else 200):
            yield {'text': world.pick(drawn)(world)}

    return make


def train(stage, checkpoint, folder, share):
    """Train a stage from a checkpoint."""
    task = f'comparing_{stage.name}'
    spec = TextSpec(
        name=task,
        source=InMemory(documents(stage, share)),
        text=lambda row: row['text'],
        objective='prefix_lm',
        splits=Splits(test=None),
        length=stage.lengths[0] - 4,
        longest_target=stage.longest,
        licence='Apache-2.0',
    )
    registry.register(
        flanlite.Collection(task, (spec,), vocabulary='pocket', max_examples=None, max_rate=None)
    )
    settings = {
        'TrainConfig.initial_checkpoint_path': str(checkpoint),
        'linear.peak': stage.peak,
        'linear.warmup_steps': max(1, int(share * 20)),
    }
    config = flanlite.from_gin(
        'gin/runs/pocket_pretrain.gin',
        MODEL_DIR=folder,
        MIXTURE_OR_TASK_NAME=task,
        TRAIN_STEPS=max(2, int(share * stage.steps)),
        BATCH_SIZE=64,
        TASK_FEATURE_LENGTHS=dict(zip(('inputs', 'targets'), stage.lengths, strict=True)),
        **settings,
    )
    flanlite.train(config)


def unseen(kind, count, name):
    """Draw documents that end with a verdict; return what stands before it, and it with its opposite."""
    world, found = World('text', f'comparing/probe/{name}'), []
    while len(found) < count:
        document = kind(world)
        if end := JUDGED.search(document):
            left, word, right = end.groups()
            options = [f'{left}{word}{right}', f'{left}{OPPOSITE[word]}{right}']
            found.append((document[: end.start()].strip(), options))
    return found


def judge(checkpoint, count):
    """Return the percentage of each kind of documents that a checkpoint judges right."""
    model, found = flanlite.load(str(checkpoint)), []
    for name, kind in PROBES.items():
        drawn = unseen(kind, count, name)
        best = model.rank([before for before, _ in drawn], [options for _, options in drawn])
        found.append(f'{100 * sum(each.index == 0 for each in best) / count:.0f}')
    return found


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--folder', default='runs/comparing', help='the folder of all stages')
    parser.add_argument('--share', type=float, default=1.0, help='of steps and documents, for a trial')
    parser.add_argument('--probes', type=int, default=200, help='documents of each kind that are judged')
    options = parser.parse_args()
    checkpoint, rows = BASE, [['shipped', *judge(BASE, options.probes)]]
    for stage in STAGES:
        folder = pathlib.Path(options.folder) / stage.name
        train(stage, checkpoint, folder, options.share)
        rows.append([stage.name, *judge(folder, options.probes)])
        checkpoint = folder
    print('\n'.join(markdown_table(['stage', *PROBES], rows)))


if __name__ == '__main__':
    main()
