"""The service against its own description: every example holds, and made-up requests find nothing that it does not say."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import schemathesis
from jsonschema_rs import Draft202012Validator
from starlette.testclient import TestClient

from claimstance.service import Limits, create_app

WORK = {"200", "400", "408", "413", "415", "422", "500", "503", "504"}


@pytest.fixture(scope="module")
def app(model_folder: Path) -> Any:
    """A service of narrow limits, so that made-up bodies come near them."""
    return create_app(model_folder, limits=Limits(max_pairs=4, max_characters=60, max_article=300), reload_every=0)


@pytest.fixture(scope="module")
def client(app: Any) -> Iterator[TestClient]:
    """A client of it."""
    with TestClient(app) as client:
        yield client


@pytest.fixture(scope="module")
def description(client: TestClient) -> dict[str, Any]:
    """Its description."""
    return client.get("/openapi.json").json()


def contents(description: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield every body and every answer in JSON that is described, with where it stands."""
    for path, methods in description["paths"].items():
        for operation in methods.values():
            parts = {**operation["responses"], "body": operation.get("requestBody", {"content": {}})}
            for name, part in parts.items():
                if "application/json" in part["content"]:
                    yield f"{path} {name}", part["content"]["application/json"]


def test_every_body_and_answer_has_an_example_that_fits_its_schema(description: dict[str, Any]) -> None:
    found = dict(contents(description))
    assert {place.split()[1] for place in found if place.startswith("/predict ")} == {"body", *WORK}
    assert {place.split()[1] for place in found if place.startswith("/article ")} == {"body", *WORK}
    assert {"/health 200", "/ready 200", "/ready 503"} <= set(found)
    for place, content in found.items():
        assert content["examples"], place
        schema = {**content["schema"], "components": description["components"]}
        for example in content["examples"].values():
            Draft202012Validator(schema).validate(example["value"])


def test_the_description_says_of_every_character_whether_it_is_blank(description: dict[str, Any]) -> None:
    pattern = description["components"]["schemas"]["Pair"]["properties"]["quote"]["pattern"]
    assert [c for c in map(chr, range(sys.maxunicode + 1)) if bool(re.match(pattern, c)) != bool(c.strip())] == []


def test_the_examples_of_bodies_are_answered(client: TestClient, description: dict[str, Any]) -> None:
    for place, content in contents(description):
        path, part = place.split()
        if part == "body":
            for example in content["examples"].values():
                assert client.post(path, json=example["value"]).status_code == 200


@pytest.mark.parametrize(
    ("path", "body", "schemas"),
    [
        ("/predict", {"quote": "a", "claim": "b", "x": 1}, ["Pair", "Pairs"]),
        ("/predict", {"pairs": [{"quote": "a", "claim": "b"}], "x": 1}, ["Pairs"]),
        ("/predict", {"pairs": [{"quote": "a", "claim": "b", "x": 1}]}, ["Pair"]),
        ("/article", {"text": "a", "claims": [], "x": 1}, ["Article"]),
    ],
)
def test_an_unknown_field_is_answered_by_those_that_are_described(
    path: str, body: dict[str, Any], schemas: list[str], client: TestClient, description: dict[str, Any]
) -> None:
    fields = [name for schema in schemas for name in description["components"]["schemas"][schema]["properties"]]
    message = client.post(path, json=body).json()["error"]["message"]
    assert message.endswith(f"x is an unknown field, expected {', '.join(fields)}")


POSITIVE, NEGATIVE = schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE
WATCHING = [("GET", path, POSITIVE) for path in ("/health", "/ready", "/metrics")]


@pytest.mark.parametrize(
    ("method", "path", "mode"),
    [*(("POST", path, mode) for path in ("/predict", "/article") for mode in (POSITIVE, NEGATIVE)), *WATCHING],
)
def test_made_up_requests_find_what_is_described(
    method: str, path: str, mode: schemathesis.GenerationMode, app: Any
) -> None:
    operation = schemathesis.openapi.from_asgi("/openapi.json", app)[path][method]

    @hypothesis.given(case=operation.as_strategy(generation_mode=mode))
    @hypothesis.settings(
        max_examples=100 if method == "POST" else 5,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    def ask(case: schemathesis.Case) -> None:
        case.call_and_validate()

    ask()
