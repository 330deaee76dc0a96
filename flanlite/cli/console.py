"""The console that commands print tables to."""

from rich.console import Console

# A file or pipe has no width.
CONSOLE = Console(emoji=False, soft_wrap=True, width=None if Console().is_terminal else 140)
