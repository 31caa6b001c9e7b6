from __future__ import annotations

import io

import pytest

from scripts.deployment.errors import Unfit
from scripts.deployment.undeploy import ask_first


class Person(io.StringIO):
    """Someone at a terminal."""

    def isatty(self) -> bool:
        return True


def test_the_namespaces_name_is_the_word_that_deletes() -> None:
    ask_first("here", "hadal", Person("hadal\n"))


@pytest.mark.parametrize("word", ["", "\n", "yes\n", "hadal-2\n"])
def test_any_other_word_deletes_nothing(word: str) -> None:
    with pytest.raises(Unfit, match="nothing was deleted"):
        ask_first("here", "hadal", Person(word))


def test_without_a_person_the_word_counts_for_nothing() -> None:
    with pytest.raises(Unfit, match="the namespace hadal on here: accounts, keys and every conversation"):
        ask_first("here", "hadal", io.StringIO("hadal\n"))
