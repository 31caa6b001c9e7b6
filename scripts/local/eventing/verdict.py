"""What a subscriber's answer means for the event (the table "Measured on real brokers", Knative 1.23)."""

from __future__ import annotations

from dataclasses import dataclass

from events import CloudEvent, InvalidEvent
from events.http import decode_one

from .classes import BrokerClass
from .log import Failure
from .retry import is_retried
from .subscriber import Answer

ERROR_DATA_BYTES = 1_024
EVENT_TYPE = b"application/cloudevents+json"
SHOWN_CHARACTERS = 200


@dataclass(frozen=True, slots=True)
class Verdict:
    """The end of one try.

    Attributes:
        reply: the event that the subscriber answered with.
        failure: why the try failed; None where it was taken.
        retried: whether another try may succeed.
        overload: whether the subscriber has too much to do.
    """

    reply: CloudEvent | None = None
    failure: Failure | None = None
    retried: bool = False
    overload: bool = False


TAKEN = Verdict()


def judge(answer: Answer, klass: BrokerClass, destination: str) -> Verdict:
    """An empty 2xx takes the event, an event in a 2xx is a reply, anything else is a failure."""
    if not 200 <= answer.status < 300:
        return _refused(answer, destination)
    carries_event = _claims_event(answer)
    if not carries_event and not answer.body:
        return TAKEN
    if carries_event:
        try:
            return Verdict(reply=decode_one(answer.headers, answer.body))
        except InvalidEvent as error:
            reason = f"{destination} answered {answer.status} with an invalid event: {error}"
    else:
        reason = (
            f"{destination} answered {answer.status} with a body that is no event; answer empty or with one"
        )
    known = None if klass.retries_non_events else destination
    return Verdict(failure=Failure(reason, known), retried=klass.retries_non_events)


def unanswered(reason: str, destination: str) -> Verdict:
    """What the lack of an answer means."""
    return Verdict(failure=Failure(reason, destination), retried=True, overload=True)


def judge_sink(answer: Answer, destination: str) -> Verdict:
    """What a dead letter sink's answer means: it has no reply to give, so a 2xx's body says nothing."""
    return TAKEN if 200 <= answer.status < 300 else _refused(answer, destination)


def _refused(answer: Answer, destination: str) -> Verdict:
    text = answer.body[:SHOWN_CHARACTERS].decode("utf-8", "replace")
    shown = "".join(character if character.isprintable() else " " for character in text).strip()
    reason = f"{destination} answered {answer.status}" + (f": {shown}" if shown else "")
    failure = Failure(reason, destination, answer.status, answer.body[:ERROR_DATA_BYTES])
    return Verdict(failure=failure, retried=is_retried(answer.status), overload=answer.status in (429, 503))


def _claims_event(answer: Answer) -> bool:
    for name, value in answer.headers:
        if name == b"ce-specversion" or (name == b"content-type" and value.lower().startswith(EVENT_TYPE)):
            return True
    return False
