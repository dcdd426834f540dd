"""`dermasense <command> ...`, which is `python -m dermasense.<command> ...`.

Research software, not a medical device.
"""

import runpy
import sys

from dermasense import __version__
from dermasense.cli import one_sentence
from dermasense.commands import commands
from dermasense.errors import DermaSenseError, nearest

COMPLETION = "completion"
HELP = """\
Train, judge and use classifiers of skin-lesion images. Research software, not a medical device.

dermasense <command> --help          what it does, its options, examples
dermasense <command> option=value    runs it; the same as python -m dermasense.<command>

{commands}

dermasense completion bash|zsh|fish prints what makes the Tab key complete all of it, for example
    eval "$(dermasense completion bash)"

Exit codes: 0 done, 1 a fault of the program, 2 a mistake that you can mend, 3 done but some files
could not be read, 130 interrupted."""


def main() -> None:
    """Runs the command that is named first; says which there are where none is."""
    name, *words = sys.argv[1:] or ["--help"]
    with one_sentence():
        if name in ("--help", "-h", "help"):
            print(HELP.format(commands=_listed()))
        elif name == "--version":
            print(f"dermasense {__version__}")
        elif name == COMPLETION:
            _complete(words)
        elif name in commands():
            sys.argv[1:] = words
            # As `python -m` does it, so that processes which start themselves again still can.
            runpy.run_module(f"dermasense.{name}", run_name="__main__", alter_sys=True)
        else:
            known = [*commands(), COMPLETION]
            raise DermaSenseError(f"{name} is no command; {nearest(name, known)}")


def _listed() -> str:
    found = commands()
    width = max(map(len, found))
    return "\n".join(f"  {name:<{width}}  {sentence}" for name, sentence in found.items())


def _complete(words: list[str]) -> None:
    from dermasense.shell.candidates import ASKED, line_of
    from dermasense.shell.scripts import script

    if words[:1] != [ASKED]:
        print(script(words))
        return
    typed = line_of(words[1:])
    if len(typed) < 2:
        names = [*commands(), COMPLETION]
        print("\n".join(name for name in names if name.startswith("".join(typed))))
    elif typed[0] in commands():
        sys.argv[1:] = [f"{ASKED}={' '.join(typed[1:])}"]
        runpy.run_module(f"dermasense.{typed[0]}", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
