"""The `flanlite` command: absl-style flags, gin files and `--gin.NAME=VALUE` overrides, one clear line for
bad input.
"""

import argparse
import contextlib
import ctypes
import os
import re
import select
import signal
import sys
import traceback
import warnings
from collections.abc import Sequence
from typing import NoReturn

from flanlite.cli import (
    ablate,
    arithmetic,
    audit,
    cache,
    compare,
    compile,
    completion,
    conflict,
    convert,
    datasets,
    evaluate,
    export,
    fewshot,
    greeting,
    harness,
    infer,
    lint,
    loco,
    mix,
    report,
    robustness,
    show,
    train,
    transfer,
)
from flanlite.cli.command import COMMON, GROUPS, Command, Flag, prepare, read_flag
from flanlite.config import closest
from flanlite.mesh.termination import Terminated
from flanlite.version import __version__

USAGE_ERROR = 2
M_ARENA_MAX = -8  # of glibc's malloc.h
UNREAD = 141  # exit status where nobody reads the output any more, as of what SIGPIPE ends
MODULES = (
    show,
    datasets,
    cache,
    lint,
    audit,
    train,
    compile,
    convert,
    export,
    arithmetic,
    mix,
    loco,
    ablate,
    conflict,
    transfer,
    fewshot,
    evaluate,
    compare,
    robustness,
    harness,
    infer,
    report,
    completion,
)
COMMANDS: dict[str, Command] = {module.COMMAND.name: module.COMMAND for module in MODULES}
DESCRIPTION = (
    'Instruction tuning in the style of FLAN, in JAX: templates, mixtures, a partitioned loop and '
    'leave-one-cluster-out evaluation.'
)
EPILOG = 'Any gin parameter or macro can be set with --gin.NAME=VALUE, for example --gin.TRAIN_STEPS=100.'


class FlagParser(argparse.ArgumentParser):
    """A parser whose errors are one line, as those of the commands."""

    def error(self, message: str) -> NoReturn:
        """Raise what argparse would print with the usage."""
        if found := re.search(r"argument COMMAND: invalid choice: '(.*?)'", message):
            raise ValueError(
                f'unknown command {found[1]!r}; {closest(found[1], COMMANDS)}flanlite --help lists them'
            )
        raise ValueError(f'{message}; see {self.prog} --help')


class Parser(FlagParser):
    """The parser of the command line, whose help lists the commands by what people do."""

    def format_help(self) -> str:
        """Write the help."""
        lines = [f'usage: flanlite COMMAND [--FLAG=VALUE ...]\n\n{DESCRIPTION}\n']
        for group in GROUPS:
            lines.append(f'\n{group}:\n')
            lines += [
                f'  {command.name:<12}{command.help}\n'
                for command in COMMANDS.values()
                if command.group == group
            ]
        return ''.join(
            [*lines, '\nflanlite COMMAND --help lists its flags; flanlite --version prints the version.\n']
        )


def parser() -> argparse.ArgumentParser:
    """Make the command-line parser."""
    top = Parser(prog='flanlite', allow_abbrev=False)
    top.add_argument('--version', action='version', version=f'flanlite {__version__}')
    commands = top.add_subparsers(dest='name', metavar='COMMAND', required=True, parser_class=FlagParser)
    for command in COMMANDS.values():
        each = commands.add_parser(
            command.name, help=command.help, description=command.help, allow_abbrev=False, epilog=EPILOG
        )
        each.set_defaults(command=command)
        for place in command.places:
            number = '*' if place.repeats else '?'
            added = each.add_argument(place.name, nargs=number, metavar=place.metavar, help=place.help)
            complete(added, place)
        for title, flags in (('flags', command.flags), ('flags of every command', COMMON)):
            group = each.add_argument_group(title)
            for flag in flags:
                add_flag(group, flag)
    return top


def add_flag(group: argparse._ArgumentGroup, flag: Flag) -> None:
    """Add a flag to a parser."""
    if flag.kind is bool:
        group.add_argument(f'--{flag.name}', action='store_true', default=None, help=flag.help)
        return
    repeats = {'action': 'append', 'default': []} if flag.repeats else {}
    action = group.add_argument(f'--{flag.name}', metavar=flag.metavar, help=flag.help, **repeats)
    complete(action, flag)


def complete(action: argparse.Action, flag: Flag) -> None:
    """Let a shell that asks complete a flag's values."""
    if flag.complete and '_ARGCOMPLETE' in os.environ:
        action.completer = completion.completer(flag.complete)


def parse(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line; `--gin.NAME=VALUE` flags become `bindings`, and beside `--runner` others become
    `beam_flags`.
    """
    made = parser()
    if '_ARGCOMPLETE' in os.environ:  # the shell asks
        import argcomplete

        argcomplete.autocomplete(made)
    args, rest = made.parse_known_args(argv)
    for flag in (*args.command.flags, *COMMON):
        found = getattr(args, flag.name)
        # argparse makes [] of a value that is `--`.
        if flag.repeats:
            setattr(args, flag.name, [read_flag(flag, each or '--') for each in found])
        elif isinstance(found, str | list):
            setattr(args, flag.name, read_flag(flag, '--' if found == [] else found))
    args.bindings, args.beam_flags = [], []
    while rest:
        flag = rest.pop(0)
        if not flag.startswith('--gin.') and getattr(args, 'runner', None):
            args.beam_flags.append(flag)
            continue
        if not flag.startswith('--gin.'):
            valid = [f'--{each.name}' for each in (*args.command.flags, *COMMON)]
            hint = closest(flag, valid)
            raise ValueError(
                f'{args.command.name} has no flag {flag!r}; {hint}its flags are {", ".join(valid)}, '
                '--gin.NAME'
            )
        binding = flag.removeprefix('--gin.')
        args.bindings.append(binding if '=' in binding or not rest else f'{binding}={rest.pop(0)}')
    if not args.command.reads_gin and (args.gin_file or args.bindings):
        raise ValueError(f'{args.command.name} reads no gin; expected neither --gin_file nor --gin.NAME')
    return args


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; bad input prints one line and returns 2, output that nobody reads 141."""
    greeting.leave_out()
    debug = '--debug' in (sys.argv if argv is None else argv)
    try:
        args = parse(argv)
        prepare(args)
        args.command.run(args)
    except Exception as error:
        # Only where JAX is at work.
        processes = sys.modules.get('flanlite.mesh.processes')
        if processes and (elsewhere := processes.failed(error)):
            print(f'flanlite: error: {elsewhere}', file=sys.stderr)
            return processes.ENDED
        if isinstance(error, BrokenPipeError) and unread():
            return UNREAD
        if debug or not expected(error):
            raise
        print('flanlite: error:', ' '.join(str(error).splitlines()), file=sys.stderr)
        return processes.ENDED if processes and isinstance(error, processes.Apart) else USAGE_ERROR
    except (KeyboardInterrupt, Terminated) as error:
        if processes := sys.modules.get('flanlite.mesh.processes'):
            processes.failed(error)  # the others end, too
        print('flanlite: interrupted; the same command goes on from what is kept', file=sys.stderr)
        return 128 + (signal.SIGTERM if isinstance(error, Terminated) else signal.SIGINT)
    return 0


def run() -> NoReturn:
    """Run the command of this process. A failed one ends at once: threads of other libraries, which may wait
    for what will not come, are not waited for, and what they print about it neither precedes nor follows its
    line.
    """
    if '--debug' not in sys.argv:
        sys.excepthook = sys.unraisablehook = lambda *_: None  # for callbacks and finalizers
        warnings.filterwarnings('ignore', r'coroutine .* was never awaited')
    stand_in()
    share_heaps()
    try:
        code = main()
    except SystemExit as ended:  # of --help, or of a run that has saved itself
        if (code := flushed(0)) and ended.code in (None, 0):
            os._exit(code)
        raise
    except BrokenPipeError:  # of the line that says what is wrong
        code = UNREAD
    except Exception:
        traceback.print_exc()
        code = 1
    if code := flushed(code):
        os._exit(code)
    sys.exit()


def share_heaps() -> None:
    """Let all threads allocate from two of glibc's heaps, unless MALLOC_ARENA_MAX says how many. By default
    there are eight a core, and what the threads of a checkpoint free stays in theirs: a long run would grow
    by a MiB with each.
    """
    if 'MALLOC_ARENA_MAX' not in os.environ and hasattr(libc := ctypes.CDLL(None), 'mallopt'):
        libc.mallopt(M_ARENA_MAX, 2)


def stand_in() -> None:
    """Open /dev/null in place of streams that the shell has closed: the next files that are opened would get
    their numbers, and what libraries print would go there.
    """
    for name, mode in (('stdin', 'r'), ('stdout', 'w'), ('stderr', 'w')):  # each takes the lowest number
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_RDWR), mode, encoding='utf-8'))
    sys.stdout.reconfigure(errors='backslashreplace')  # a table with ± in a locale that lacks it


def flushed(code: int) -> int:
    """Write what waits in the streams; return the exit status, another where that cannot be written."""
    try:
        sys.stdout.flush()
    except OSError as error:
        if not unread():
            print(f'flanlite: error: cannot write the output: {error.strerror}', file=sys.stderr)
        code = code or (UNREAD if unread() else USAGE_ERROR)
        nowhere = os.open(os.devnull, os.O_WRONLY)  # or Python would try again at its end
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
    with contextlib.suppress(OSError):
        sys.stderr.flush()
    return code


def unread() -> bool:
    """Return whether nobody reads standard output, or errors, any more."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):  # it is no file of the system, as in tests
            poll = select.poll()
            poll.register(stream.fileno(), 0)
            if any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(0)):
                return True
    return False


def expected(error: Exception) -> bool:
    """Tell bad input, and what the disk or the data may do, from a fault of the program, which shows its
    traceback.
    """
    if isinstance(error, RuntimeError) and str(error).startswith('Unable to initialize backend'):
        return True  # JAX's, of JAX_PLATFORMS
    return type(error).__module__.startswith('flanlite.') or isinstance(error, ValueError | OSError)
