"""`python -m flanlite` is the command `flanlite`."""

from flanlite.cli.main import run

if __name__ == '__main__':
    run()
