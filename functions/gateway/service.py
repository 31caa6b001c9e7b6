"""The gateway's wiring."""

from __future__ import annotations

from dataclasses import dataclass, replace

from functions._runtime.function import Function, Ground, function
from functions._runtime.settings import at_least, http_url, variable
from functions.gateway import openai_errors
from functions.gateway.credentials import Credentials, ExchangeAtAuth
from functions.gateway.handler import Gateway
from functions.gateway.models import Models
from functions.gateway.upstream import ErrorForm, Patience, Upstream
from functions.gateway.waking import WakeAuth

AUTH_FIRST_BYTE_S = 15.0
"""Every caller waits for a key to be checked; a start from zero is well within this."""

OURS = ErrorForm(openai_errors.of_function, openai_errors.event_of_function)
MODEL_SERVICE = ErrorForm(openai_errors.of_model_service, openai_errors.event_of_model_service)


@dataclass(frozen=True, slots=True)
class Settings:
    """Where the servers are, and how long they may take.

    Attributes:
        first_byte_timeout_s: until an answer's head; a call that isn't streamed has it when all is generated.
        heartbeat_s: after so much silence in a stream the client gets a comment, so that nothing on the way
            takes the connection for dead.
        silence_timeout_s: after so much silence a stream ends with an error.
    """

    auth_url: str = variable("AUTH_URL", default="http://auth.hadal.svc.cluster.local", parse=http_url)
    chat_url: str = variable("CHAT_URL", default="http://chat.hadal.svc.cluster.local", parse=http_url)
    history_url: str = variable(
        "HISTORY_URL", default="http://history.hadal.svc.cluster.local", parse=http_url
    )
    inference_url: str = variable(
        "INFERENCE_URL", default="http://inference.hadal.svc.cluster.local", parse=http_url
    )
    first_byte_timeout_s: float = variable("FIRST_BYTE_TIMEOUT_S", default=300.0, parse=at_least(0.1))
    heartbeat_s: float = variable("HEARTBEAT_S", default=15.0, parse=at_least(0.1))
    silence_timeout_s: float = variable("SILENCE_TIMEOUT_S", default=120.0, parse=at_least(0.1))


async def build(settings: Settings, ground: Ground) -> Function:
    """The front door over real servers."""
    patience = Patience(settings.first_byte_timeout_s, settings.heartbeat_s, settings.silence_timeout_s)
    quick = replace(patience, first_byte_s=min(AUTH_FIRST_BYTE_S, patience.first_byte_s))
    auth = Upstream(ground.http, "The account service", settings.auth_url, OURS, quick)
    inference = Upstream(ground.http, "The model service", settings.inference_url, MODEL_SERVICE, patience)
    credentials = Credentials(ground.identity, ExchangeAtAuth(auth), ground.clock)
    door = Gateway(
        credentials=credentials,
        models=Models(credentials, inference, ground.clock),
        inference=inference,
        chat=Upstream(ground.http, "The conversation service", settings.chat_url, OURS, patience),
        history=Upstream(ground.http, "The history service", settings.history_url, OURS, patience),
        auth=auth,
    )
    return Function(routes=door.routes(), background=[WakeAuth(auth)], render=openai_errors.rendered)


gateway = function("gateway", Settings, build)
