"""The service: what it answers, with which bounds, and how it refuses."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from claimstance.article import read_statements
from claimstance.bundle import bundle_digest, read_bundle, write_bundle
from claimstance.errors import BundleError, ClaimstanceError
from claimstance.predictor import Prediction, Predictor
from claimstance.records import Pair
from claimstance.service import Limits, create_app
from claimstance.service.refusals import encoded

QUOTE, CLAIM = "نفى مدير المرفأ وصول أي شحنة ملوثة.", "وصلت شحنة قمح ملوثة إلى المرفأ."
ONE = {"quote": QUOTE, "claim": CLAIM}
ARTICLE = "\ufeffقال مدير المرفأ إن الشحنة سليمة. 🙂\n\nوسوم: قمح\nأكدت الوزارة أن السفينة أفرغت حمولتها كلها."
LIMITS = Limits(max_body=20_000, max_pairs=5, max_characters=200, max_article=1_000)
JSON = {"content-type": "application/json"}


@pytest.fixture(scope="module")
def client(model_folder: Path) -> Iterator[TestClient]:
    """A client of a service of narrow limits."""
    with TestClient(create_app(model_folder, limits=LIMITS)) as client:
        yield client


def as_answered(prediction: Prediction) -> dict[str, Any]:
    return prediction._asdict()


def error_of(response: Any) -> dict[str, str]:
    """Return the error of a refusal, whose shape is the same everywhere."""
    body = response.json()
    assert response.headers["content-type"] == "application/json"
    assert set(body) == {"error"} and set(body["error"]) == {"code", "message", "where"}
    return body["error"]


def test_pairs_get_exactly_what_the_predictor_says(
    model_folder: Path, predictor: Predictor, few_pairs: list[Pair]
) -> None:
    texts = [{"quote": pair.quote, "claim": pair.claim} for pair in few_pairs]
    expected = [as_answered(prediction) for prediction in predictor.predict(few_pairs)]
    with TestClient(create_app(model_folder, limits=Limits(max_pairs=len(texts)))) as client:
        many = client.post("/predict", json={"pairs": texts}).json()
        assert many["predictions"] == expected
        assert many["model"] == {
            "name": predictor.manifest.name,
            "digest": bundle_digest(model_folder),
            "labels": list(predictor.manifest.labels),
            "stances": list(predictor.manifest.stances),
        }
        for text, prediction in zip(texts[:20], expected[:20], strict=True):
            assert client.post("/predict", json=text).json() == {"model": many["model"], "predictions": [prediction]}


def test_an_article_gets_its_statements_and_their_stances(client: TestClient, predictor: Predictor) -> None:
    claims = [CLAIM, "The port was open.", CLAIM]
    found = client.post("/article", json={"text": ARTICLE, "claims": claims}).json()
    statements = read_statements(ARTICLE, predictor.lexicon)
    assert found["claims"] == claims and len(statements) == len(found["statements"]) == 2
    for statement, answered in zip(statements, found["statements"], strict=True):
        assert ARTICLE[answered["start"] : answered["stop"]] == answered["text"] == statement.text
        assert answered["speaker"] == statement.speaker
        pairs = [(statement.text, claim) for claim in claims]
        assert answered["stances"] == [as_answered(prediction) for prediction in predictor.predict(pairs)]
    alone = client.post("/article", json={"text": ARTICLE, "claims": []}).json()
    assert [statement["stances"] for statement in alone["statements"]] == [[], []]
    assert client.post("/article", json={"text": "قمح", "claims": [CLAIM]}).json()["statements"] == []


@pytest.mark.parametrize("kind", ["linear", "ensemble", "encoder"])
def test_a_model_of_every_kind_answers_pairs_and_articles(kind: str, every_kind: dict[str, Path]) -> None:
    predictor = Predictor.load(every_kind[kind])
    pairs = [(QUOTE, CLAIM), ("نفى.", "نعم"), ("أكد المدير وصول الشحنة.", CLAIM)]
    with TestClient(create_app(every_kind[kind])) as client:
        body = {"pairs": [{"quote": quote, "claim": claim} for quote, claim in pairs]}
        answered = client.post("/predict", json=body).json()
        assert answered["predictions"] == [as_answered(prediction) for prediction in predictor.predict(pairs)]
        assert answered["predictions"][0] != answered["predictions"][1]
        article = client.post("/article", json={"text": ARTICLE, "claims": [CLAIM]}).json()
    assert article["model"] == answered["model"]
    pairs = [(statement["text"], CLAIM) for statement in article["statements"]]
    given = [prediction for statement in article["statements"] for prediction in statement["stances"]]
    assert len(pairs) == 2 and given == [as_answered(prediction) for prediction in predictor.predict(pairs)]


def test_a_model_that_reads_quotes_alone_needs_no_claim(model_folder: Path, tmp_path: Path) -> None:
    bundle = read_bundle(model_folder)
    manifest = dataclasses.replace(bundle.manifest, inputs="quote")
    write_bundle(dataclasses.replace(bundle, manifest=manifest), tmp_path / "quotes")
    with TestClient(create_app(tmp_path / "quotes")) as client:
        (alone,) = client.post("/predict", json={"quote": QUOTE}).json()["predictions"]
        assert alone == as_answered(Predictor.load(tmp_path / "quotes").predict([QUOTE])[0])
        assert client.get("/openapi.json").json()["components"]["schemas"]["Pair"]["required"] == ["quote"]
    with TestClient(create_app(model_folder)) as client:
        assert client.get("/openapi.json").json()["components"]["schemas"]["Pair"]["required"] == ["quote", "claim"]


@pytest.mark.parametrize(
    ("path", "body", "status", "code", "where", "words"),
    [
        ("/predict", b"", 422, "missing_field", "body", ["the body is missing", "a JSON object"]),
        ("/predict", b"{", 400, "invalid_json", "body", ["broken JSON at character", "a JSON object"]),
        ("/predict", b'{"quote": "\xd9"}', 400, "invalid_json", "body", ["UTF-8"]),
        ("/predict", b'{"a":' * 50_00 + b"1" + b"}" * 50_00, 413, "body_too_large", "body", ["20,000 bytes"]),
        ("/predict", b"[" * 19_000, 400, "invalid_json", "body", ["nested"]),
        ("/predict", b'{"quote": ' + b"1" * 5_000 + b"}", 400, "invalid_json", "body", ["expected"]),
        ("/predict", b"NaN", 422, "wrong_kind", "body", ["the body is a number", "a JSON object"]),
        ("/predict", b'{"quote": Infinity, "claim": "b"}', 422, "wrong_kind", "body.quote", ["a number", "a text"]),
        ("/predict", b'{"quote": "a\\ud800", "claim": "b"}', 422, "invalid_text", "body.quote", ["half a character"]),
        ("/predict", b'{"quote": "a", "claim": "b", "\\ud800": 1}', 422, "invalid_text", "body", ["half a character"]),
        ("/predict", b'{"quote": "a", "claim": " \\n"}', 422, "empty_text", "body.claim", ["claim is empty", "a text"]),
        ("/predict", b'{"quote": null, "claim": "b"}', 422, "wrong_kind", "body.quote", ["quote is null", "a text"]),
        ("/predict", b'{"quote": "a"}', 422, "missing_field", "body.claim", ["this model reads pairs"]),
        ("/predict", b'{"claim": "a"}', 422, "missing_field", "body.quote", ["quote is missing"]),
        (
            "/predict",
            b'{"quote": "a", "claim": "b", "c": 1}',
            422,
            "unknown_field",
            "body.c",
            ["c is an unknown field, expected quote, claim, pairs"],
        ),
        (
            "/predict",
            b'{"quote": "", "claim": "b"}',
            422,
            "empty_text",
            "body.quote",
            ["quote is empty, expected a text"],
        ),
        ("/predict", b'{"quotes": "a", "claim": "b"}', 422, "unknown_field", "body.quotes", ["did you mean 'quote'?"]),
        ("/predict", b'{"pair": []}', 422, "unknown_field", "body.pair", ["did you mean 'pairs'?"]),
        (
            "/predict",
            b'{"pairs": [{"quote": "a", "clam": "b"}]}',
            422,
            "unknown_field",
            "body.pairs[0].clam",
            ["expected quote, claim (did you mean 'claim'?)"],
        ),
        ("/predict", b'{"pairs": [{"claim": "a"}]}', 422, "missing_field", "body.pairs[0].quote", ["expected a text"]),
        ("/article", b'{"text": "a", "claim": "b"}', 422, "unknown_field", "body.claim", ["did you mean 'claims'?"]),
        ("/predict", b'{"pairs": []}', 422, "too_few", "body.pairs", ["no entry", "1 at least"]),
        ("/predict", b'{"pairs": {}}', 422, "wrong_kind", "body.pairs", ["an object", "a list"]),
        ("/predict", b'{"pairs": ["a"]}', 422, "wrong_kind", "body.pairs[0]", ["a text", "a JSON object"]),
        ("/predict", b'{"pairs": [], "quote": "a"}', 422, "too_few", "body.pairs", ["no entry"]),
        ("/article", b'{"text": " ", "claims": []}', 422, "empty_text", "body.text", ["text is empty"]),
        ("/article", b'{"text": "a"}', 422, "missing_field", "body.claims", ["claims is missing, expected a list"]),
        ("/article", b'{"text": "a", "claims": ["b", 1]}', 422, "wrong_kind", "body.claims[1]", ["a number"]),
    ],
)
def test_a_wrong_body_is_refused_by_what_where_and_expected(
    path: str, body: bytes, status: int, code: str, where: str, words: list[str], client: TestClient
) -> None:
    response = client.post(path, content=body, headers=JSON)
    error = error_of(response)
    assert (response.status_code, error["code"], error["where"]) == (status, code, where)
    for word in words:
        assert word in error["message"]


def test_half_a_character_in_an_answer_is_escaped() -> None:
    content = {"where": "body.\ud800", "text": "قمح 🙂"}
    assert json.loads(encoded(content).decode("utf-8")) == content


def pairs_of(count: int, last: str = QUOTE) -> dict[str, Any]:
    return {"pairs": [*[ONE] * (count - 1), {"quote": last, "claim": CLAIM}]}


@pytest.mark.parametrize(
    ("path", "within", "beyond", "where", "bound"),
    [
        ("/predict", pairs_of(5), pairs_of(6), "body.pairs", "has 6 entries, expected 5"),
        (
            "/predict",
            pairs_of(2, "ق" * 200),
            pairs_of(2, "ق" * 201),
            "body.pairs[1].quote",
            "has 201 characters, expected 200",
        ),
        (
            "/predict",
            {"quote": "🙂" * 200, "claim": "a"},
            {"quote": "🙂" * 201, "claim": "a"},
            "body.quote",
            "201 characters",
        ),
        (
            "/article",
            {"text": "ق" * 1000, "claims": []},
            {"text": "ق" * 1001, "claims": []},
            "body.text",
            "1,001 characters",
        ),
        (
            "/article",
            {"text": "ق", "claims": [CLAIM] * 16},
            {"text": "ق", "claims": [CLAIM] * 17},
            "body.claims",
            "17 entries",
        ),
    ],
)
def test_every_bound_of_a_body_is_kept(
    path: str, within: dict, beyond: dict, where: str, bound: str, client: TestClient
) -> None:
    assert client.post(path, json=within).status_code == 200
    refused = client.post(path, json=beyond)
    error = error_of(refused)
    assert (refused.status_code, error["where"]) == (422, where)
    assert bound in error["message"] and "at most" in error["message"]


def test_what_is_not_sent_as_json_is_told_so(client: TestClient) -> None:
    for kind in ("text/plain", "application/x-www-form-urlencoded", "application/jsonx"):
        refused = client.post("/predict", content=json.dumps(ONE), headers={"content-type": kind})
        assert (refused.status_code, error_of(refused)["code"]) == (415, "unsupported_media_type")
        assert kind in error_of(refused)["message"] and "application/json" in error_of(refused)["message"]
    assert client.post("/predict", content=json.dumps(ONE), headers={"content-type": "application/json; charset=utf-8"})


def test_unknown_paths_and_wrong_methods_are_refused_in_the_same_shape(client: TestClient) -> None:
    unknown = client.get("/predic")
    assert (unknown.status_code, error_of(unknown)["where"]) == (404, "/predic")
    expected = (
        "expected one of /, /article, /health, /metrics, /openapi.json, /predict, /ready (did you mean '/predict'?)"
    )
    assert error_of(unknown)["message"].endswith(expected)
    for method, path, allowed in (("GET", "/predict", "POST"), ("DELETE", "/health", "GET"), ("POST", "/", "GET")):
        wrong = client.request(method, path)
        assert (wrong.status_code, error_of(wrong)["code"]) == (405, "wrong_method")
        assert allowed in wrong.headers["allow"] and allowed in error_of(wrong)["message"]
    assert client.post("/predict/", json=ONE).status_code == 404
    assert client.get("/docs").status_code == client.get("/redoc").status_code == 404


def test_the_page_is_served_with_strict_headers_and_nothing_beside_it(client: TestClient, root: Path) -> None:
    for file in (root / "claimstance/service/page").iterdir():
        page = client.get("/" if file.name == "index.html" else f"/{file.name}")
        assert (page.status_code, page.content) == (200, file.read_bytes())
        assert page.headers["content-security-policy"].startswith("default-src 'self'")
        assert (page.headers["x-content-type-options"], page.headers["referrer-policy"]) == ("nosniff", "no-referrer")
        assert page.headers["content-type"].startswith(("text/html", "text/css", "text/javascript", "image/svg"))
    icon = client.get("/favicon.ico")
    assert (icon.status_code, icon.content) == (200, client.get("/icon.svg").content)
    for path in ("/index.html", "/page/index.html", "/app.py", "/%2e%2e/app.py", "/page"):
        assert client.get(path).status_code == 404


def test_ready_names_the_model_until_the_service_closes(model_folder: Path) -> None:
    app = create_app(model_folder)
    with TestClient(app) as client:
        assert client.get("/ready").json()["model"]["digest"] == bundle_digest(model_folder)
        app.state.service.close()
        closing = client.get("/ready")
        assert (closing.status_code, error_of(closing)["code"]) == (503, "not_ready")
        assert client.get("/health").status_code == client.post("/predict", json=ONE).status_code == 200


def test_a_missing_bundle_and_a_wrong_limit_are_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="no such model folder"):
        create_app(tmp_path / "none")
    with pytest.raises(ClaimstanceError, match="max-pairs is 0, expected a number above 0"):
        Limits(max_pairs=0)
    with pytest.raises(ClaimstanceError, match="timeout is nan"):
        Limits(timeout=float("nan"))


def test_without_the_extra_the_command_says_how_to_install_it(root: Path, model_folder: Path) -> None:
    for package in ("fastapi", "uvicorn", "prometheus_client"):
        program = (
            f"import sys; sys.modules[{package!r}] = None; from claimstance.cli import main;"
            "sys.exit(main(['serve', sys.argv[1]]))"
        )
        done = subprocess.run(
            [sys.executable, "-c", program, model_folder], capture_output=True, encoding="utf-8", cwd=root, check=False
        )
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr == f"claimstance: error: the service needs {package}: pip install 'claimstance[serve]'\n"


def test_the_other_commands_load_none_of_it(root: Path) -> None:
    program = "import sys, claimstance.cli; print({'fastapi', 'uvicorn', 'pydantic', 'asyncio'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, encoding="utf-8", cwd=root, check=True)
    assert done.stdout == "set()\n"
