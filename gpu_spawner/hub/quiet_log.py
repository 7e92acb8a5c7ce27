"""Keep tracebacks of what is no error out of the hub's log.

JupyterHub logs whatever ends a request for a link or a form with its traceback, at the level
ERROR: also that a choice is busy, or that the form is to be shown. An admin who reads the log looks
for what is broken.
"""

import logging

from gpu_spawner.hub.refusal import SpawnRefused

__all__ = ["RefusalsInOneLine", "ShowForm"]


class ShowForm(Exception):  # noqa: N818 - no error: it is how JupyterHub is asked for the form
    """Ends a request for a link that chooses nothing; JupyterHub shows the form, and no message."""

    jupyterhub_message = ""


class RefusalsInOneLine(logging.Filter):
    """Writes a refusal as one line with its sentence, and nothing where the form is shown."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Tell whether a record is to be logged, having taken the traceback of a refusal off."""
        error = record.exc_info[1] if record.exc_info else None
        if isinstance(error, ShowForm):
            return False
        if isinstance(error, SpawnRefused):
            record.msg = f"{record.getMessage()}: {error.sentence}".replace("\n", " ")
            record.args = ()
            record.exc_info = None
            record.levelno, record.levelname = logging.INFO, "INFO"
        return True
