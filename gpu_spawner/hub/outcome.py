"""What became of a pod, in the words of ``core.diagnosis``, as JupyterHub wants to hear it."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from markupsafe import escape

from gpu_spawner.core.catalog.lifetime import say_exactly
from gpu_spawner.core.diagnosis.pod_diagnosis import Category, Diagnosis, diagnose
from gpu_spawner.core.diagnosis.steps import diagnose_step
from gpu_spawner.core.messages import gettext, sentences
from gpu_spawner.core.wording import say_duration
from gpu_spawner.hub.reader import in_readers_html, in_readers_language
from gpu_spawner.hub.refusal import REASON_POD_FAILED, REASON_WAITED, SpawnRefused
from gpu_spawner.hub.seats import Place

__all__ = [
    "failure_of",
    "line_message",
    "progress_message",
    "stuck_on",
    "too_late",
    "waited_in_vain",
]


_HOPELESS: Final = gettext(
    "No node of the cluster could run this server, busy or not. Choose other hardware, or tell the "
    "administrators of this hub."
)


def failure_of(
    pod: Mapping[str, Any] | None, events: Iterable[Mapping[str, Any]]
) -> SpawnRefused | None:
    """Return why a start is hopeless; None while waiting may help.

    KubeSpawner waits for the pod to run until ``start_timeout``, also when it never will.
    """
    if pod is None:
        return None
    diagnosis = diagnose(pod, events)
    if not diagnosis.is_final:
        return None
    return SpawnRefused(_sentences(diagnosis), reason=REASON_POD_FAILED)


def too_late(
    pod: Mapping[str, Any], events: Iterable[Mapping[str, Any]], waited_seconds: float
) -> SpawnRefused:
    """Return the failure of a start that took too long, with what it was still waiting for.

    The hub's own timeout would say only that time ran out, and would count as a failure of the hub.
    """
    diagnosis = diagnose(pod, events)
    time = say_duration(waited_seconds)
    said = gettext("The server did not start within {time}.", time=time)
    return SpawnRefused(sentences(said, _sentences(diagnosis)), reason=REASON_WAITED)


def waited_in_vain(
    pod: Mapping[str, Any], events: Iterable[Mapping[str, Any]], max_wait_seconds: int
) -> SpawnRefused:
    """Return the end of a wait for a place that did not become free."""
    diagnosis = diagnose(pod, events)
    said = sentences(
        gettext("No place became free within {time}.", time=say_exactly(max_wait_seconds)),
        diagnosis.summary,
        gettext("Start again to wait once more, or choose something else."),
    )
    return SpawnRefused(said, reason=REASON_WAITED)


def stuck_on(
    pod: Mapping[str, Any],
    events: Iterable[Mapping[str, Any]],
    *,
    is_hopeless: Callable[[], bool],
) -> SpawnRefused | None:
    """Return what a start is stuck on: it goes on only if somebody mends that.

    Args:
        pod: the pod as it is now.
        events: of the pod.
        is_hopeless: tells whether no node could ever take the server.
    """
    diagnosis = diagnose(pod, events)
    if diagnosis.is_stuck:
        return SpawnRefused(_sentences(diagnosis), reason=REASON_POD_FAILED)
    if diagnosis.category is Category.WAITING and is_hopeless():
        return SpawnRefused(_HOPELESS, reason=REASON_POD_FAILED)
    return None


def line_message(sentence: str, detail: str = "") -> dict[str, Any]:
    """Tell a place in the line as a step of the start, with the cluster's own words beneath."""
    beneath = f"<br><small>{escape(detail)}</small>" if detail else ""
    return {"message": in_readers_language(sentence), "html_message": _live(sentence) + beneath}


def _live(sentence: str) -> str:
    """Return a sentence as HTML that screen readers announce when it appears.

    JupyterHub shows it twice: above the bar, and in a log that is folded away and therefore silent.
    """
    return f'<span role="status">{in_readers_html(sentence)}</span>'


def _sentences(diagnosis: Diagnosis) -> str:
    return sentences(diagnosis.summary, diagnosis.resolution)


def progress_message(
    event: Mapping[str, Any],
    pod: Mapping[str, Any] | None,
    place: Place | None,
) -> dict[str, Any]:
    """Say one step of the start in a sentence, with the cluster's own words beneath.

    Args:
        event: what KubeSpawner reports: ``progress``, ``message`` and ``raw_event``, the last
            absent for its reminders that a start takes long.
        pod: the pod as it is now.
        place: what it was started as; knows its images and how long pulling them should take.
    """
    if "raw_event" not in event:
        return dict(event)
    step = diagnose_step(pod, event["raw_event"], pulls=place.pulls if place else None)
    if step is None:
        return {**event, "html_message": str(escape(event.get("message", "")))}
    sentence = _sentences(step)
    # The progress page inserts html_message as it is, so everything in it is escaped here.
    raw = escape(event.get("message", ""))
    html = f"{_live(sentence)}<br><small>{raw}</small>"
    return {**event, "message": in_readers_language(sentence), "html_message": html}
