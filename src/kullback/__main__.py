"""`python -m kullback` is the command `kullback`."""

import sys


def main() -> int:
    """Runs the command and returns its exit code, also if it is interrupted before it is loaded."""
    try:
        from kullback.cli.app import main  # noqa: PLC0415
    except KeyboardInterrupt:
        return 130
    return main()


if __name__ == "__main__":
    sys.exit(main())
