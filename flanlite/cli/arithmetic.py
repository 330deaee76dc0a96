"""`flanlite arithmetic`."""

import argparse
from collections.abc import Mapping

from flanlite.cli import command
from flanlite.cli.command import MIXTURE, VOCABULARY, Command, Flag
from flanlite.config import read_text
from flanlite.limits import Below1, Count, Number, PositiveShare, Seed


def run(args: argparse.Namespace) -> None:
    """Add task vectors to a model, or take them from it."""
    from flanlite.cli import gin_config

    command.read_gin(args)
    if not args.output:
        raise ValueError('arithmetic needs --output=PATH')
    if not args.add and not args.subtract:
        raise ValueError('arithmetic needs a task vector; name a tuned checkpoint with --add or --subtract')
    if not args.base and not args.sweep:
        raise ValueError('arithmetic needs the model that was tuned: --base=PATH, or --sweep=DIR')
    if args.scale is not None and (args.mixture or args.scales):
        raise ValueError('got --scale and a scale to choose, by --mixture and --scales; expected one of them')
    for flag in ('scales', 'keep', 'max_rows', 'split'):
        if getattr(args, flag) and not args.mixture:
            raise ValueError(f'--{flag} belongs to a scale that is chosen; name what by: --mixture=NAME')
    from flanlite.eval import arithmetic
    from flanlite.eval.arithmetic import ArithmeticConfig
    from flanlite.training.task_vectors import Method

    runs = arithmetic.in_sweep(args.sweep) if args.sweep else {}
    vectors = [
        each
        for flag, sign in (('add', 1.0), ('subtract', -1.0))
        for text in getattr(args, flag)
        for each in read_vectors(flag, text, sign, runs)
    ]
    chosen = {name: getattr(args, name) for name in ('density', 'drop', 'seed')}
    method = Method(**command.given(args, *chosen), **({'name': args.method} if args.method else {}))
    base = args.base or arithmetic.base_of_sweep(args.sweep)
    names = ('output', 'scale', 'scales', 'keep', 'form', 'vocabulary', 'data_dir')
    fields = command.given(args, *names)
    if args.mixture:
        fields['evaluation'] = gin_config.build(
            'EvalConfig',
            checkpoint=base,
            mixture=gin_config.build('MixtureConfig', name=args.mixture),
            model_changes=gin_config.model_fields(),
            **{'split': 'validation', **command.given(args, 'split', 'max_rows', 'cache_dir')},
        )
    arithmetic.arithmetic(ArithmeticConfig(base, tuple(vectors), method=method, **fields))


def read_vectors(flag: str, text: str, sign: float, runs: Mapping[str, str]) -> list:
    """Read CHECKPOINT, or CHECKPOINT:SCALE, to task vectors.

    Args:
        flag: that it was given by, for the error.
        text: of the flag; in a sweep, what a run held out, or `all` runs, may stand for a checkpoint.
        sign: 1 or -1.
        runs: the sweep's, by what they held out.
    """
    from flanlite.training.locate import locate
    from flanlite.training.task_vectors import TaskVector

    known = {*runs, 'all'} if runs else set()
    name, scale = text, 1.0
    if ':' in text and text not in known and not locate(text).exists():
        name, _, number = text.rpartition(':')
        scale = read_text(f'the scale of --{flag}={text}', number, Number)
    if name == 'all' and runs:
        return [TaskVector(path, sign * scale) for path in runs.values()]
    if runs and name not in runs and not locate(name).exists():
        raise ValueError(
            f'--{flag}={text}: the sweep has no run that held out {name!r}; it has {", ".join(runs)}'
        )
    return [TaskVector(runs.get(name, name), sign * scale)]


COMMAND = Command(
    'arithmetic',
    'Train',
    'Add what tuning changed in a model to it, or take it away: task vectors, by sum, TIES or DARE.',
    run,
    (
        Flag('base', 'the model before tuning, any checkpoint', metavar='PATH', complete='file'),
        Flag(
            'add',
            'a tuned checkpoint, whose difference from the base is added; :0.5 behind it multiplies it; may '
            'repeat',
            metavar='PATH[:SCALE]',
            complete='file',
            repeats=True,
        ),
        Flag(
            'subtract',
            'likewise, but taken away; may repeat',
            metavar='PATH[:SCALE]',
            complete='file',
            repeats=True,
        ),
        Flag(
            'sweep',
            "a folder of loco; --add and --subtract then take a cluster's name for the run that held it out, "
            'all for each of them, and the base is what they began with',
            metavar='DIR',
            complete='file',
        ),
        Flag('output', 'the folder or file to write', metavar='PATH', complete='file'),
        Flag(
            'form',
            'huggingface (a folder; the default) or safetensors (one file, for flanlite)',
            complete=('huggingface', 'safetensors'),
        ),
        Flag(
            'method',
            'sum (the default), ties, dare, or dare_ties',
            complete=('sum', 'ties', 'dare', 'dare_ties'),
        ),
        Flag('density', 'of ties: the part of each vector that is kept; by default 0.2', PositiveShare),
        Flag('drop', 'of dare: the part of each vector that is dropped; by default 0.9', Below1),
        Flag('seed', 'of dare: which part that is; by default 0', Seed),
        Flag('scale', 'what the vectors together are multiplied by; by default 1', Number),
        Flag(
            'scales',
            'with --mixture: the scales to choose from, with commas; by default 0 to 1 in steps of 0.05',
            tuple[Number, ...],
        ),
        MIXTURE,
        Flag(
            'keep',
            'a mixture that is to keep 95 percent of its score, while that of --mixture is to fall',
            complete='mixture',
        ),
        Flag(
            'split',
            'of --mixture: train, validation or test; by default validation',
            complete=('train', 'validation', 'test'),
        ),
        Flag('max_rows', 'at most so many rows of each data set of --mixture', Count),
        VOCABULARY,
    ),
)
