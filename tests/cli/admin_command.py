"""``gpu-spawner`` as an admin runs it: a command line in, an exit status and two texts out.

``run`` is the command in this process, which has everything imported already; ``run_installed`` is
the installed program in a process of its own, where imports take seconds. Each command is run so at
least once, and wherever it depends on a process.
"""

import io
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

from gpu_spawner.cli import main

PROGRAM = str(Path(sys.executable).parent / "gpu-spawner")

Finished = subprocess.CompletedProcess[str]


def run(*arguments: object) -> Finished:
    """Run the command here."""
    words = [str(argument) for argument in arguments]
    with redirect_stdout(io.StringIO()) as out, redirect_stderr(io.StringIO()) as err:
        try:
            status: object = main(words)
        except SystemExit as leaving:  # what argparse does with what it cannot read
            status = leaving.code
    assert isinstance(status, int)
    return subprocess.CompletedProcess([PROGRAM, *words], status, out.getvalue(), err.getvalue())


def run_installed(*arguments: object, stdin: str | None = None) -> Finished:
    """Run the installed program."""
    return subprocess.run(
        [PROGRAM, *map(str, arguments)],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
