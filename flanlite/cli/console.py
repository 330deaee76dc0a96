"""The console that commands print tables to."""

from rich.console import Console

# A file or pipe has no width.
CONSOLE = Console(soft_wrap=True) if Console().is_terminal else Console(soft_wrap=True, width=140)
