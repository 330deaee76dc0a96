"""`flanlite completion`, and what a shell completes the flags with."""

import argparse
from collections.abc import Callable
from typing import Any

from flanlite.cli.command import Command, Flag

SHELLS = ('bash', 'zsh', 'fish', 'powershell', 'tcsh')


def run(args: argparse.Namespace) -> None:
    """Print a shell's code."""
    import argcomplete

    shell = args.shell or 'bash'
    if shell not in SHELLS:
        raise ValueError(f'unknown shell {shell!r}; expected one of {", ".join(SHELLS)}')
    print(argcomplete.shellcode(['flanlite'], shell=shell))


def completer(kind: str | tuple[str, ...]) -> Callable[..., Any]:
    """Make the function that argcomplete asks for a flag's values."""
    from argcomplete.completers import ChoicesCompleter, FilesCompleter

    def mixtures(**_: Any) -> list[str]:
        from flanlite.data.mixing import naming

        return naming.collection_names()

    def gin_files(prefix: str, **_: Any) -> list[str]:
        from flanlite.cli import gin_config

        return [*gin_config.gin_files(), *FilesCompleter(('gin',))(prefix)]

    return {'mixture': mixtures, 'gin_file': gin_files, 'file': FilesCompleter()}.get(
        kind
    ) or ChoicesCompleter(kind)


COMMAND = Command(
    'completion',
    'Shell',
    'Print the code that completes commands and flags: eval "$(flanlite completion --shell=bash)".',
    run,
    (Flag('shell', 'bash (the default), zsh, fish, powershell or tcsh', complete=SHELLS),),
    reads_gin=False,
)
