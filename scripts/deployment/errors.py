"""What can be in the way of a deployment.

Deployment
├── Unfit    it can't be begun: no program, something missing there (exit status 2)
│   └── NoCluster   none answers
└── Failed   a step of it failed (exit status 1)
"""

from __future__ import annotations


class Deployment(Exception):
    """The message is what the user is shown."""

    status = 1


class Unfit(Deployment):
    """Nothing has been changed."""

    status = 2


class NoCluster(Unfit):
    """None answers."""


class Failed(Deployment):
    """What is done stays; the same command goes on from there."""
