"""`flanlite infer`."""

import argparse

from flanlite.cli import command
from flanlite.cli.command import BASE, CHECKPOINT, VOCABULARY, Command, Flag
from flanlite.limits import Beams, Count, Length, NotNegative


def run(args: argparse.Namespace) -> None:
    """Answer the lines of a file."""
    from flanlite.cli import gin_config

    command.read_gin(args)
    flags = command.given(args, *(flag.name for flag in COMMAND.flags), 'data_dir', 'cache_dir')
    from flanlite.eval import infer

    infer.infer(**flags, model_changes=gin_config.model_fields())


COMMAND = Command(
    'infer',
    'Evaluate',
    'Answer each line of a file: JSONL or plain text in, JSONL out.',
    run,
    (
        CHECKPOINT,
        BASE,
        Flag('prompt', 'of a model with several soft prompts, the one to ask with', metavar='NAME'),
        Flag(
            'input',
            'a .jsonl file with "inputs", or plain text, a line each; - for standard input',
            metavar='FILE',
            complete='file',
        ),
        Flag('output', 'the file to write; by default standard output', metavar='FILE', complete='file'),
        Flag('max_length', 'the longest answer, in tokens', Length),
        Flag('max_input_length', 'the longest text of a line, in tokens; by default 16,384', Count),
        Flag('beams', 'beam search with so many beams; 1 is greedy', Beams),
        Flag('temperature', 'above 0, samples instead', NotNegative),
        VOCABULARY,
    ),
)
