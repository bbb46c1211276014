"""``python -m novastate``: the command."""

from novastate.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
