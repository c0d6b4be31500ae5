"""`python -m bot` is `jit`."""

from bot import cli

if __name__ == "__main__":
    cli.main()
