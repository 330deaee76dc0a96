"""What a command is: its name, flags and function, all in one file of its own; and the flags that several
commands share.
"""

import argparse
import dataclasses
import importlib
import os
import pathlib
import sys
import typing
from collections.abc import Callable
from typing import Any

from flanlite.config import made_from, read_text, to_lines
from flanlite.data.rendering.fewshot import ShotsNumber
from flanlite.limits import Count

GROUPS = ('Look at data', 'Train', 'Evaluate', 'Shell')


@dataclasses.dataclass(frozen=True)
class Flag:
    """A flag of a command.

    Args:
        name: without the dashes.
        help: one line.
        kind: the type of its value, as of a field of settings; `bool` for a flag without a value.
        metavar: what stands for the value in the help.
        binds: the gin macro or parameters that the flag is short for, where the command reads gin files.
        field: the field of a TrainConfig that it changes, where the settings come from a file of JSON.
        complete: what a shell completes it with: `mixture`, `gin_file`, `file`, or one of several words.
        repeats: whether it may be given several times; its value is then a list.
    """

    name: str
    help: str
    kind: Any = str
    metavar: str | None = None
    binds: tuple[str, ...] = ()
    field: str | None = None
    complete: str | tuple[str, ...] = ()
    repeats: bool = False


@dataclasses.dataclass(frozen=True)
class Command:
    """A command.

    Args:
        name: what is typed.
        group: one of `GROUPS`, under which `flanlite --help` lists it.
        help: one line.
        run: does it; imports what it needs itself, so that the other commands start quickly.
        flags: its own flags.
        example: a gin file for it, where it cannot run without one.
        reads_gin: whether gin files and `--gin.NAME` change what it does.
        places: what is given without a flag, in this order.
    """

    name: str
    group: str
    help: str
    run: Callable[[argparse.Namespace], None]
    flags: tuple[Flag, ...] = ()
    example: str | None = None
    reads_gin: bool = True
    places: tuple[Flag, ...] = ()

    def __post_init__(self) -> None:
        if self.group not in GROUPS:
            raise ValueError(
                f'the command {self.name} is in the group {self.group!r}; expected one of {", ".join(GROUPS)}'
            )


GIN_FILE = Flag(
    'gin_file', 'a gin file; may repeat, later ones win', metavar='FILE', complete='gin_file', repeats=True
)
SETTINGS = Flag(
    'settings',
    'what a run saved, in place of gin files: its folder, or the settings.json in it',
    metavar='FILE',
    complete='file',
)
COMMON = (
    GIN_FILE,
    Flag(
        'gin_search_paths', 'folders to look for gin files in, with commas', metavar='PATHS', complete='file'
    ),
    Flag('import', 'a module of yours to load; may repeat', metavar='MODULE', repeats=True),
    Flag(
        'data_dir',
        'a folder with <dataset>/<split>.jsonl[.gz]; by default FLANLITE_DATA_DIR',
        metavar='DIR',
        binds=('DataConfig.data_dir',),
        field='data.data_dir',
        complete='file',
    ),
    Flag(
        'cache_dir',
        'the folder of the token cache; by default FLANLITE_CACHE_DIR',
        metavar='DIR',
        binds=('DataConfig.cache_dir',),
        field='data.cache_dir',
        complete='file',
    ),
    Flag(
        'promptsource_dir',
        "a checkout of promptsource, for t0's own prompts; by default PROMPTSOURCE_DIR",
        metavar='DIR',
        complete='file',
    ),
    Flag('debug', 'show the traceback of an error', bool),
)

MIXTURE = Flag(
    'mixture',
    'a collection (pocket, flan2021, t0), COLLECTION_held_out_CLUSTER, a data set, or any registered SeqIO '
    'task or mixture',
    binds=('MIXTURE_OR_TASK_NAME',),
    field='data.mixture.name',
    complete='mixture',
)
MODEL_DIR = Flag(
    'model_dir',
    'the folder for checkpoints, metrics and reports',
    metavar='DIR',
    binds=('MODEL_DIR',),
    field='model_dir',
    complete='file',
)
LINEAGE = Flag(
    'lineage',
    'strict drops training data that shares a corpus with held-out data, warn names it, off follows the '
    'paper',
    binds=('MixtureConfig.lineage',),
    field='data.mixture.lineage',
    complete=('strict', 'warn', 'off'),
)
SHOTS = Flag(
    'shots',
    'how many exemplars stand before each example, such as 0, 2 or 5; multi: as many as fit, up to 16',
    ShotsNumber,
    binds=('Shots.number',),
    field='data.mixture.shots.number',
)
PROMPT_MIX = Flag(
    'prompt_mix',
    'how each row is asked, drawn of settings with their weights, such as zs_opt:3,fs_opt:1, of zs_opt, '
    'zs_noopt, fs_opt and fs_noopt (zero- and few-shot, with and without options); flan2022 has its own',
    binds=('MixtureConfig.prompt_mix',),
    field='data.mixture.prompt_mix',
)
DROP = Flag(
    'drop',
    'a file that lists training examples to leave out, as audit writes it with --output',
    metavar='FILE',
    binds=('MixtureConfig.drop',),
    field='data.mixture.drop',
    complete='file',
)
BASE = Flag(
    'base',
    'of an adapter, where the model that it belongs to lies; by default where it was in training',
    metavar='PATH',
    complete='file',
)
VOCABULARY = Flag(
    'vocabulary',
    'pocket, t5, bytes, a SentencePiece model, or a Hugging Face folder; :no_input_eos behind it leaves EOS '
    'out of inputs, :chat behind a folder takes its chat template',
    binds=('VOCABULARY',),
    field='data.vocabulary',
    complete='file',
)
CHECKPOINT = Flag(
    'checkpoint',
    'a run folder or one of its checkpoints (/ema: their average), a parameter file, a T5X checkpoint, a '
    'Hugging Face or PEFT folder',
    metavar='PATH',
    complete='file',
)
# What a run begins with, where it is no run of its own that goes on.
BEGINS_WITH = dataclasses.replace(
    CHECKPOINT, binds=('INITIAL_CHECKPOINT_PATH',), field='initial_checkpoint_path'
)


def read_flag(flag: Flag, text: str) -> Any:
    """Read a flag's value; of a tuple, the parts that commas stand between.

    Raises:
        ValueError: it is not of the flag's kind.
    """
    if not text:
        raise ValueError(f'--{flag.name} is empty; expected {flag.help}')
    if typing.get_origin(flag.kind) is not tuple:
        return read_text(f'--{flag.name}', text, flag.kind)
    parts = [part.strip() for part in text.split(',') if part.strip()]
    return tuple(read_text(f'--{flag.name}', part, typing.get_args(flag.kind)[0]) for part in parts)


def given(args: argparse.Namespace, *names: str) -> dict[str, Any]:
    """Keep the flags that the user gave; the rest is the functions' to decide."""
    return {name: getattr(args, name) for name in names if getattr(args, name, None) is not None}


SEEDS = Flag(
    'seeds',
    'how often each tuned system is tuned, each time with another seed; the report has the variance over '
    'seeds and that over rows',
    Count,
)


def prepare(args: argparse.Namespace) -> None:
    """Import the user's modules, which register data sets or SeqIO tasks; the working folder is searched too,
    last.
    """
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())
    if args.promptsource_dir:
        from flanlite.data.rendering import promptsource

        promptsource.use_folder(args.promptsource_dir)
    for name in getattr(args, 'import'):
        try:
            importlib.import_module(name)
        except Exception as error:  # whatever a user's module raises
            expected = 'a module in the working folder or on PYTHONPATH'
            if name.endswith('.py') or '/' in name:
                expected = f'the name of {expected}, such as {pathlib.PurePath(name).stem}'
            raise ValueError(
                f'cannot import {name!r}: {type(error).__name__}: {error}; expected {expected}'
            ) from error


def read_gin(args: argparse.Namespace, begins: bool = False) -> None:
    """Parse the gin files and overrides of a command, its flags that are short for bindings among them.

    Args:
        args: the command's.
        begins: whether the command begins to train; only then INITIAL_CHECKPOINT_PATH needs a value.
    """
    from flanlite.cli import gin_config

    mixtures_only = not args.gin_file and not args.bindings
    macros = [] if begins or not args.gin_file else ['INITIAL_CHECKPOINT_PATH']
    bindings = [f'{macro}=None' for macro in macros]
    for flag in (*COMMON, *args.command.flags):
        if (chosen := getattr(args, flag.name, None)) is not None and flag.binds:
            bound = [name for name in flag.binds if '.' in name or args.gin_file]
            if mixtures_only:
                bound = [name for name in bound if name.startswith(('MixtureConfig.', 'Shots.'))]
            bindings += [f'{name}={chosen!r}' for name in bound]
            macros += [name for name in bound if '.' not in name]
            bindings += ['MixtureConfig.shots=@Shots()'] * (flag.name == 'shots')
    gin_config.load(
        args.gin_file,
        [*bindings, *args.bindings],
        search_paths(args),
        macros,
        getattr(args, 'import'),
        mixtures_only,
    )


def search_paths(args: argparse.Namespace) -> list[str]:
    """Return the folders that --gin_search_paths names."""
    return [path for path in (args.gin_search_paths or '').split(',') if path]


def read_run(args: argparse.Namespace, build: str = 'train', begins: bool = True) -> tuple[Any, str | None]:
    """Make the settings of a run, and return them with the gin text that they were made from, if any.

    Args:
        args: the command's: gin files, or the folder of a run that saved its settings.
        build: the command whose settings they are; see `gin_names.COMMANDS`.
        begins: see `read_gin`.
    """
    from flanlite.cli import gin_config, gin_names

    if args.settings is not None:
        if args.gin_file or args.bindings:
            raise ValueError(
                'got --settings and gin files or --gin flags; expected one of them: saved settings are whole'
            )
        return from_saved(args, build), None
    if not args.gin_file:
        raise ValueError(
            f'{args.command.name} needs a gin file; for example flanlite {args.command.name} '
            f'--gin_file={args.command.example}'
        )
    parent = gin_config.alone(build, args.gin_file, search_paths(args), getattr(args, 'import'))
    read_gin(args, begins)
    used = gin_names.used_macros()
    for flag in args.command.flags:
        for macro in flag.binds if getattr(args, flag.name) is not None else ():
            if '.' not in macro and macro not in used:
                raise ValueError(
                    f'--{flag.name} is short for {macro}, which nothing in {", ".join(args.gin_file)} uses; '
                    f'include gin/train.gin, or set {flag.field} from it as the files in gin/runs do'
                )
    return made_from(gin_config.build(build), *parent), gin_config.resolved()


def from_saved(args: argparse.Namespace, build: str) -> Any:
    """Read saved settings, and change what flags change."""
    from flanlite.cli import gin_names
    from flanlite.config import load_as
    from flanlite.paths import at_home

    gin_names.register()
    config = load_as(gin_names.VALUES[f'flanlite.{gin_names.COMMANDS[build]}'], args.settings)
    config = made_from(config, str(args.settings), to_lines(config))
    fields = {
        flag.field: getattr(args, flag.name, None) for flag in (*COMMON, *args.command.flags) if flag.field
    }
    changed = {field: new for field, new in fields.items() if new is not None}
    if os.path.isdir(at_home(args.settings)):  # the run's folder, wherever it has been moved
        changed.setdefault('model_dir', args.settings)
    return config.replace(
        **{field if build == 'train' else f'train.{field}': new for field, new in changed.items()}
    )


def mixture_of(args: argparse.Namespace) -> Any:
    """Resolve the mixture that a command is asked for by --mixture, or by its gin files."""
    from flanlite.cli import gin_config
    from flanlite.data.mixing import mixtures

    return mixtures.resolve(gin_config.build('MixtureConfig', name=mixture_name(args)), args.data_dir)


def mixture_name(args: argparse.Namespace) -> str:
    """Return the name that --mixture gives, or the gin files."""
    from flanlite.cli import gin_config

    name = args.mixture or gin_config.macro('MIXTURE_OR_TASK_NAME', None)
    if not name:
        raise ValueError(f'{args.command.name} needs a mixture; give one with --mixture=NAME, such as pocket')
    return name
