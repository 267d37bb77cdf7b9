"""The service under load: bounds of time, size and number, requests labelled together, and what is counted and logged."""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from claimstance.bundle import bundle_digest
from claimstance.predictor import Prediction, Predictor
from claimstance.records import Pair
from claimstance.service import Limits, create_app

QUOTE, CLAIM = "نفى مدير المرفأ وصول أي شحنة ملوثة.", "وصلت شحنة قمح ملوثة إلى المرفأ."
ONE = {"quote": QUOTE, "claim": CLAIM}


def code_of(response: Any) -> str:
    """Return the code of a refusal."""
    return response.json()["error"]["code"]


class Slow:
    """Holds the predictions of every predictor until they are let go."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.begun, self.go = threading.Event(), threading.Event()
        self.calls: list[int] = []
        predict = Predictor.predict

        def slow(predictor: Predictor, pairs: list) -> list[Prediction]:
            self.calls.append(len(pairs))
            self.begun.set()
            assert self.go.wait(20)
            return predict(predictor, pairs)

        monkeypatch.setattr(Predictor, "predict", slow)


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> Iterator[Slow]:
    """Predictions that wait; let go at the end at the latest."""
    slow = Slow(monkeypatch)
    yield slow
    slow.go.set()


def test_a_request_that_takes_too_long_is_given_up_and_the_service_goes_on(model_folder: Path, slow: Slow) -> None:
    with TestClient(create_app(model_folder, limits=Limits(timeout=0.2))) as client:
        late = client.post("/predict", json=ONE)
        assert (late.status_code, code_of(late)) == (504, "timeout")
        assert "0.2 seconds" in late.text
        # The thread is still at work, so the next one waits for it and is given up too, and leaves nothing to be done.
        assert client.post("/predict", json=ONE).status_code == 504
        assert client.get("/health").status_code == 200
        slow.go.set()
        assert client.post("/predict", json=ONE).status_code == 200
        assert slow.calls == [1, 1]


def test_health_answers_and_too_many_requests_are_sent_away_while_the_model_is_at_work(
    model_folder: Path, slow: Slow
) -> None:
    app = create_app(model_folder, limits=Limits(max_requests=2))
    with TestClient(app) as client, ThreadPoolExecutor(2) as pool:
        working = [pool.submit(client.post, "/predict", json=ONE) for _ in range(2)]
        assert slow.begun.wait(10)
        wait_for(lambda: "in_flight 3.0" in client.get("/metrics").text)
        assert client.get("/health").json() == {"status": "lives"}
        busy = client.post("/predict", json=ONE)
        assert (busy.status_code, code_of(busy), busy.headers["retry-after"]) == (503, "busy", "1")
        assert client.get("/predict").status_code == 405
        slow.go.set()
        assert [request.result().status_code for request in working] == [200, 200]
        assert client.post("/predict", json=ONE).status_code == 200


def wait_for(condition: Callable[[], bool]) -> None:
    """Ask until a condition holds."""
    deadline = threading.Event()
    for _ in range(1000):
        if condition():
            return
        deadline.wait(0.01)
    raise AssertionError("the condition never held")


def test_requests_that_wait_are_labelled_together_and_spoil_nothing(
    model_folder: Path, predictor: Predictor, few_pairs: list[Pair], slow: Slow, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = [{"quote": pair.quote, "claim": pair.claim} for pair in few_pairs[:9]]
    with TestClient(create_app(model_folder), raise_server_exceptions=False) as client, ThreadPoolExecutor(9) as pool:
        first = pool.submit(client.post, "/predict", json=texts[0])
        assert slow.begun.wait(10)
        others = [pool.submit(client.post, "/predict", json=text) for text in texts[1:]]
        wait_for(lambda: "in_flight 10.0" in client.get("/metrics").text)
        patched = Predictor.probabilities

        def poisoned(self: Predictor, quotes: list[str], claims: list[str]) -> Any:
            if texts[4]["quote"] in quotes and texts[4]["claim"] in claims:
                raise ValueError("poison")
            return patched(self, quotes, claims)

        monkeypatch.setattr(Predictor, "probabilities", poisoned)
        slow.go.set()
        answers = [request.result() for request in (first, *others)]
    assert slow.calls[:2] == [1, 8]
    assert (answers[4].status_code, code_of(answers[4])) == (500, "internal")
    monkeypatch.undo()
    expected = predictor.predict(few_pairs[:9])
    for index, (response, prediction) in enumerate(zip(answers, expected, strict=True)):
        if index != 4:
            assert response.json()["predictions"] == [prediction._asdict()]


def exchange(
    app: Any, body: Iterator[bytes], headers: dict[str, str], path: str = "/predict"
) -> tuple[int, bytes, int]:
    """Send a body piece by piece, as a server would; return status, answer, and how many pieces were taken."""
    sent: list[dict[str, Any]] = []
    taken = 0

    async def receive() -> dict[str, Any]:
        nonlocal taken
        piece = next(body, None)
        if piece is None:
            return {"type": "http.disconnect"}
        taken += 1
        return {"type": "http.request", "body": piece, "more_body": True}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    raw = [(name.encode(), value.encode()) for name, value in {"content-type": "application/json", **headers}.items()]
    scope = {
        "type": "http",
        "method": "POST",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": raw,
    }
    asyncio.run(app(scope, receive, send))
    parts = [message.get("body", b"") for message in sent[1:]]
    return (sent[0]["status"], b"".join(parts), taken) if sent else (0, b"", taken)


@pytest.mark.parametrize("length", [None, "5", "30000", "9" * 5000])
def test_a_body_is_refused_while_it_streams_whatever_it_says_of_its_length(
    length: str | None, model_folder: Path
) -> None:
    app = create_app(model_folder, limits=Limits(max_body=20_000))
    headers = {} if length is None else {"content-length": length}
    status, answer, taken = exchange(app, itertools.repeat(b"x" * 1_000_000, 200), headers)
    assert (status, json.loads(answer)["error"]["code"]) == (413, "body_too_large")
    assert 0 < taken < 100, "what still comes is thrown away for a while, and then no more"
    assert 'claimstance_requests_total{route="/predict",status="413"} 1.0' in app.state.service.measures.text().decode()
    asked_first = exchange(
        app, itertools.repeat(b"x" * 1_000_000, 200), {"expect": "100-continue", "content-length": "30000"}
    )
    assert (asked_first[0], asked_first[2]) == (413, 0)


def test_a_client_that_leaves_is_no_error(model_folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    app = create_app(model_folder)
    assert exchange(app, iter([b'{"quote":']), {}) == (0, b"", 1)
    assert not caplog.records


def test_an_error_of_the_service_has_the_same_shape_and_stands_in_its_log(
    model_folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(self: Predictor, pairs: Any) -> None:
        raise ValueError("secret detail")

    app = create_app(model_folder)
    monkeypatch.setattr(Predictor, "predict", broken)
    with TestClient(app) as client:
        failed = client.post("/predict", json=ONE)
        assert (failed.status_code, code_of(failed)) == (500, "internal")
        assert "secret" not in failed.text and "secret detail" in caplog.text
        assert client.get("/health").status_code == 200


def test_requests_pairs_and_stances_are_counted(
    model_folder: Path, predictor: Predictor, few_pairs: list[Pair]
) -> None:
    with TestClient(create_app(model_folder)) as client:
        texts = [{"quote": pair.quote, "claim": pair.claim} for pair in few_pairs[:60]]
        client.post("/predict", json={"pairs": texts})
        client.post("/predict", json={"quote": 1})
        client.get("/a" * 40)
        lines = client.get("/metrics").text.splitlines()
    stances = [prediction.stance or "abstains" for prediction in predictor.predict(few_pairs[:60])]
    counts = {f'claimstance_stances_total{{stance="{stance}"}} {stances.count(stance)}.0' for stance in stances}
    assert len(counts) > 1
    assert counts | {
        "claimstance_pairs_total 60.0",
        'claimstance_requests_total{route="/predict",status="200"} 1.0',
        'claimstance_requests_total{route="/predict",status="422"} 1.0',
        'claimstance_requests_total{route="unknown",status="404"} 1.0',
        'claimstance_request_seconds_count{route="/predict"} 2.0',
        "claimstance_requests_in_flight 1.0",
        f'claimstance_bundle_info{{digest="{bundle_digest(model_folder)}",name="{predictor.manifest.name}"}} 1.0',
        'claimstance_reloads_total{outcome="failed"} 0.0',
    } <= set(lines)


def test_one_line_a_request_is_logged_and_no_text(model_folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    with TestClient(create_app(model_folder)) as client, caplog.at_level(logging.INFO, "claimstance.service"):
        client.post("/predict", json={"pairs": [ONE] * 3})
        client.get("/a%0ab")
    first, second = (record.getMessage() for record in caplog.records if record.name == "claimstance.service")
    assert first.startswith("POST /predict 200 ") and first.endswith(" ms 3 pairs")
    assert second.startswith("GET /a%0ab 404 ")
    assert QUOTE not in caplog.text
