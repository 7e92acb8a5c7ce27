"""Stand between the demo and one process it started, so that no process outlives its purpose.

Run as a script, one per process: ``python -I -S shim.py PID_FILE LOG_FILE PROGRAM ARGUMENT...``.
It plays the part of a container's first process namespace:

- the program's whole tree ends with the program, daemonised grandchildren included;
- closing the shim's standard input kills the tree at once, and the kernel closes it when whoever
  started the shim dies, however that happens;
- the byte ``T`` on standard input asks the program to end (SIGTERM).

The shim prints the program's process id, and exits with the program's status as a shell would
(128 + signal). It imports nothing outside the standard library: there is one per container.
"""

import contextlib
import ctypes
import json
import os
import select
import signal
import sys
from collections.abc import Iterator

__all__ = ["fingerprint", "main"]

# linux/prctl.h
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36

KILLED_STATUS = 128 + signal.SIGKILL
_COMMAND_NOT_FOUND_STATUS = 127


def main(argv: list[str]) -> int:
    """Run the program in ``argv[2:]`` and return its exit status."""
    pid_file, log_file, *program = argv
    wakeup, wakeup_end = os.pipe()
    os.set_blocking(wakeup_end, False)
    signal.set_wakeup_fd(wakeup_end)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)
    log = os.open(log_file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    child = os.fork()
    if child == 0:
        _become(program, log)
    _record(pid_file, child)
    # The reader may be gone already; then standard input is at its end and says so below.
    with contextlib.suppress(OSError):
        os.write(1, b"%d\n" % child)
    with contextlib.suppress(OSError):
        os.close(1)
    status = _watch(child, wakeup)
    _kill_tree(child)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(pid_file)  # noqa: PTH108  pathlib would double the shim's start-up time
    return status


def fingerprint(pid: int) -> str:
    """Return what tells this process from a later one with the same id; empty if it is gone."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:  # noqa: PTH123  see main()
            # Field 22 of proc_pid_stat(5), counted after the command's closing parenthesis: the
            # command may itself contain blanks and parentheses.
            started = file.read().rpartition(b")")[2].split()[19].decode()
        with open("/proc/sys/kernel/random/boot_id") as file:  # noqa: PTH123  see main()
            return f"{file.read().strip()}/{started}"
    except (OSError, IndexError):
        return ""


def _become(program: list[str], log: int) -> None:
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    try:
        os.setsid()
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        null = os.open(os.devnull, os.O_RDONLY)
        for source, target in ((null, 0), (log, 1), (log, 2)):
            os.dup2(source, target)
        os.execvp(program[0], program)  # noqa: S606  no shell is what we want
    except OSError as error:
        os.write(2, f"cannot run {program[0]}: {error.strerror}\n".encode())
    finally:
        os._exit(_COMMAND_NOT_FOUND_STATUS)


def _record(pid_file: str, child: int) -> None:
    partial = f"{pid_file}.{os.getpid()}"
    with open(partial, "w") as file:  # noqa: PTH123  see main()
        json.dump({"pid": child, "fingerprint": fingerprint(child)}, file)
    os.replace(partial, pid_file)  # noqa: PTH105  see main()


def _watch(child: int, wakeup: int) -> int:
    """Wait until the program ended or the tree is to be killed; return the status to exit with."""
    while True:
        ready, _, _ = select.select([0, wakeup], [], [])
        if wakeup in ready:
            os.read(wakeup, 512)
            if (status := _reap(child)) is not None:
                return status
        if 0 in ready:
            command = os.read(0, 512)
            if not command:
                return KILLED_STATUS
            if b"T" in command:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(child, signal.SIGTERM)


def _reap(child: int) -> int | None:
    status: int | None = None
    with contextlib.suppress(ChildProcessError):
        while True:
            pid, wait_status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                break
            if pid == child:
                code = os.waitstatus_to_exitcode(wait_status)
                status = code if code >= 0 else 128 - code
    return status


def _kill_tree(child: int) -> None:
    # Orphans become our children (subreaper), so once we have no child left, no process is left.
    while True:
        for pid in {child, *_descendants()}:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        if sys.platform != "linux":
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(child, signal.SIGKILL)
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            return


def _descendants() -> Iterator[int]:
    parents: dict[int, list[int]] = {}
    with contextlib.suppress(OSError):
        for name in os.listdir("/proc"):  # noqa: PTH208  see main()
            if name.isdigit():
                with (
                    contextlib.suppress(OSError, IndexError, ValueError),
                    open(f"/proc/{name}/stat", "rb") as file,  # noqa: PTH123  see main()
                ):
                    parent = int(file.read().rpartition(b")")[2].split()[1])
                    parents.setdefault(parent, []).append(int(name))
    pending = list(parents.get(os.getpid(), ()))
    while pending:
        pid = pending.pop()
        yield pid
        pending.extend(parents.get(pid, ()))


def _prctl(option: int, value: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
