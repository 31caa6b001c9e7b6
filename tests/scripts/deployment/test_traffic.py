from __future__ import annotations

from typing import Any

from scripts.deployment.traffic import NEWEST, has_canary, stable, targets

SERVING: dict[str, Any] = {"status": {"traffic": [{"revisionName": "app-00001", "percent": 100}]}}
UNDER_WAY: dict[str, Any] = {
    "spec": {"traffic": [{"revisionName": "app-00001", "percent": 90}, {"percent": 10, "tag": "canary"}]},
    "status": {
        "traffic": [
            {"revisionName": "app-00001", "percent": 90},
            {"revisionName": "app-00002", "percent": 10, "tag": "canary"},
        ]
    },
}


def test_a_changed_service_shares_with_the_revision_that_had_the_requests() -> None:
    assert targets(SERVING, is_changed=True, percent=10) == [
        {"revisionName": "app-00001", "latestRevision": False, "percent": 90},
        {"latestRevision": True, "percent": 10, "tag": "canary"},
    ]


def test_an_unchanged_or_new_service_and_one_that_never_served_share_nothing() -> None:
    assert targets(SERVING, is_changed=False, percent=10) == NEWEST
    assert targets(None, is_changed=True, percent=10) == NEWEST
    assert targets({"status": {}}, is_changed=True, percent=10) == NEWEST


def test_a_canary_under_way_gets_another_share_and_the_rest_stays_where_it_was() -> None:
    wanted = targets(UNDER_WAY, is_changed=False, percent=60)
    assert [(each.get("revisionName"), each["percent"]) for each in wanted] == [("app-00001", 40), (None, 60)]
    assert targets(UNDER_WAY, is_changed=True, percent=100) == NEWEST


def test_a_canary_with_most_of_the_requests_is_still_the_canary() -> None:
    most = {
        "traffic": [
            {"revisionName": "app-00002", "percent": 95, "tag": "canary"},
            {"revisionName": "app-00001", "percent": 5},
        ]
    }
    assert stable({"status": most}) == "app-00001"
    assert has_canary({"spec": most})
    assert not has_canary(SERVING)
