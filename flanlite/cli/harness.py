"""`flanlite harness`."""

import argparse

from flanlite.cli import command
from flanlite.cli.command import BASE, CHECKPOINT, VOCABULARY, Command, Flag
from flanlite.limits import Count, Whole


def run(args: argparse.Namespace) -> None:
    """Run lm-evaluation-harness on a checkpoint."""
    from flanlite.cli import gin_config

    command.read_gin(args)
    for flag in ('checkpoint', 'tasks'):
        if not getattr(args, flag):
            raise ValueError(f'harness needs --{flag}; for example --tasks=arc_easy,piqa')
    names = ('include_path', 'output', 'num_fewshot', 'limit', 'continuations', 'vocabulary', 'data_dir')
    flags = command.given(args, *names, 'cache_dir')
    path, adapter = (args.base, args.checkpoint) if args.base else (args.checkpoint, None)
    try:
        from flanlite.eval import harness
    except ImportError as error:
        raise ValueError(str(error)) from error

    tasks = [name for name in args.tasks.split(',') if name]
    harness.harness(path, tasks, adapter=adapter, **flags, **gin_config.model_fields())


COMMAND = Command(
    'harness',
    'Evaluate',
    "Run tasks of EleutherAI's lm-evaluation-harness on a checkpoint.",
    run,
    (
        CHECKPOINT,
        BASE,
        Flag('tasks', 'names of tasks, groups or tags of the harness, with commas', metavar='NAMES'),
        Flag('include_path', 'a folder with tasks of your own', metavar='DIR', complete='file'),
        Flag('output', 'the folder for the results', metavar='DIR', complete='file'),
        Flag('num_fewshot', 'exemplars; by default as each task says', Whole),
        Flag('limit', 'at most so many examples of each task', Count),
        Flag(
            'continuations',
            "targets (the default): answers, scored as in eval; text: a context goes on, as in the harness's "
            'own models',
            complete=('targets', 'text'),
        ),
        VOCABULARY,
    ),
)
