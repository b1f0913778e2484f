"""The command line: python -m gemmsmith, or gemmsmith."""

import sys

from ._core import run_command_line


def main() -> int:
    return run_command_line(["gemmsmith", *sys.argv[1:]])


if __name__ == "__main__":
    sys.exit(main())
