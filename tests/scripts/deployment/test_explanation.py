from __future__ import annotations

from scripts.deployment.explanation import last_words
from tests.scripts.deployment.answering import Answering


def test_the_last_words_of_the_functions_are_told_with_their_pods() -> None:
    wrote = "[pod/chat-00001-x/user-container] no model\n"
    answering = Answering({"words": ["logs", "-n", "hadal"], "out": wrote})
    assert last_words(answering.cluster, "hadal") == "    [pod/chat-00001-x/user-container] no model"


def test_functions_at_zero_have_none() -> None:
    assert last_words(Answering().cluster, "hadal") == "    no function runs"
