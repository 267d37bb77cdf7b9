"""A new bundle in the folder of a service: it is taken over whole, or refused while the old one goes on answering."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from claimstance.bundle import bundle_digest, read_bundle, write_bundle
from claimstance.predictor import Predictor
from claimstance.records import Pair
from claimstance.service import create_app

ONE = {"quote": "نفى مدير المرفأ وصول أي شحنة ملوثة.", "claim": "وصلت شحنة قمح ملوثة إلى المرفأ."}


@pytest.fixture
def folder(model_folder: Path, tmp_path: Path) -> Path:
    """A copy of the model that a test may replace."""
    return Path(shutil.copytree(model_folder, tmp_path / "served"))


@pytest.fixture
def other(model_folder: Path, tmp_path: Path) -> Path:
    """A model that abstains from everything."""
    bundle = read_bundle(model_folder)
    manifest = dataclasses.replace(bundle.manifest, name="unsure", threshold=1.0)
    write_bundle(dataclasses.replace(bundle, manifest=manifest), tmp_path / "other")
    return tmp_path / "other"


@pytest.fixture
def client(folder: Path) -> Iterator[TestClient]:
    """A client of a service that looks for a new bundle only when a test says so."""
    with TestClient(create_app(folder, reload_every=0)) as client:
        yield client


def look(client: TestClient) -> None:
    client.app.state.service.current.look()


def answering(client: TestClient) -> tuple[str, str | None]:
    """Return the digest of the model that answers, and its stance on one pair."""
    found = client.post("/predict", json=ONE).json()
    return found["model"]["digest"], found["predictions"][0]["stance"]


def counted(client: TestClient, outcome: str) -> bool | int:
    (line,) = (
        line for line in client.get("/metrics").text.splitlines() if f'reloads_total{{outcome="{outcome}"}}' in line
    )
    return float(line.split()[1])


def replace(folder: Path, new: Path) -> None:
    """Put another bundle into the place of one, as an export does."""
    write_bundle(read_bundle(new), folder)


def test_a_new_bundle_answers_from_then_on(client: TestClient, folder: Path, other: Path) -> None:
    before = answering(client)
    assert before[1] is not None
    look(client)
    assert answering(client) == before and counted(client, "ok") == 0
    replace(folder, other)
    look(client)
    assert answering(client) == (bundle_digest(other), None) != before
    assert client.get("/ready").json()["model"]["name"] == "unsure"
    metrics = client.get("/metrics").text
    assert f'digest="{bundle_digest(other)}",name="unsure"' in metrics and before[0] not in metrics
    assert (counted(client, "ok"), counted(client, "failed")) == (1, 0)


def alter(folder: Path) -> None:
    content = bytearray((folder / "dense.npy").read_bytes())
    content[-1] ^= 1
    (folder / "dense.npy").write_bytes(content)


def leave_out(folder: Path) -> None:
    (folder / "sparse.npy").unlink()


def cut(folder: Path) -> None:
    manifest = (folder / "manifest.json").read_bytes()
    (folder / "manifest.json").write_bytes(manifest[: len(manifest) // 2])


def make_newer(folder: Path) -> None:
    body = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    (folder / "manifest.json").write_text(json.dumps({**body, "format": 99}), encoding="utf-8")


@pytest.mark.parametrize(
    ("spoil", "words"),
    [(alter, "altered"), (leave_out, "missing"), (cut, "not JSON"), (make_newer, "newer")],
)
def test_a_bundle_that_cannot_be_trusted_is_refused_and_the_old_one_goes_on(
    spoil: Callable[[Path], None],
    words: str,
    client: TestClient,
    folder: Path,
    other: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    before = answering(client)
    replace(folder, other)
    spoil(folder)
    look(client)
    assert answering(client) == before
    assert counted(client, "failed") == 1
    (record,) = caplog.records
    assert words in record.getMessage() and str(folder) in record.getMessage()
    look(client)
    assert counted(client, "failed") == 1 == len(caplog.records), "what was refused is not read and told again"
    replace(folder, other)
    look(client)
    assert answering(client)[0] == bundle_digest(other)
    assert (counted(client, "ok"), counted(client, "failed")) == (1, 1)


def test_a_bundle_copied_file_by_file_is_taken_once_it_is_whole(client: TestClient, folder: Path, other: Path) -> None:
    before = answering(client)
    shutil.copy(other / "manifest.json", folder)
    (folder / "sparse.npy").unlink()
    look(client)
    assert answering(client) == before
    shutil.copy(other / "sparse.npy", folder)
    look(client)
    assert answering(client)[0] == bundle_digest(other)


def test_a_folder_that_is_missing_for_an_instant_is_nothing_to_tell(
    client: TestClient, folder: Path, other: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    before = answering(client)
    folder.rename(folder.with_name("away"))
    look(client)
    assert answering(client) == before
    folder.with_name("away").rename(folder)
    replace(folder, other)
    load = Predictor.load

    def taken_away(path: Path) -> Predictor:
        folder.rename(folder.with_name("away"))
        return load(path)

    with monkeypatch.context() as meanwhile:
        meanwhile.setattr(Predictor, "load", taken_away)
        look(client)
    assert answering(client) == before
    assert counted(client, "failed") == 0 and not caplog.records
    folder.with_name("away").rename(folder)
    look(client)
    assert answering(client)[0] == bundle_digest(other)


def test_a_bundle_replaced_while_it_is_read_is_read_again(
    client: TestClient, folder: Path, other: Path, model_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace(folder, other)
    load = Predictor.load

    def replaced(path: Path) -> Predictor:
        predictor = load(path)
        replace(folder, model_folder)
        return predictor

    with monkeypatch.context() as meanwhile:
        meanwhile.setattr(Predictor, "load", replaced)
        look(client)
    digest, stance = answering(client)
    assert digest == bundle_digest(model_folder) and stance is not None, "no digest over another's answers"
    assert counted(client, "failed") == 0


def test_a_request_keeps_the_model_that_it_began_with(
    client: TestClient, folder: Path, other: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = answering(client)
    predict = Predictor.predict

    def swapped(predictor: Predictor, pairs: list[Pair]) -> Any:
        monkeypatch.setattr(Predictor, "predict", predict)
        replace(folder, other)
        look(client)
        return predictor.predict(pairs)

    monkeypatch.setattr(Predictor, "predict", swapped)
    assert answering(client) == before
    assert answering(client)[0] == bundle_digest(other)


@pytest.mark.parametrize("every", [0.01, 0])
def test_the_watch_looks_by_itself_or_when_hurried(every: float, folder: Path, other: Path) -> None:
    app = create_app(folder, reload_every=every)
    signal_before = signal.getsignal(signal.SIGHUP)
    signal.signal(signal.SIGHUP, lambda *_: app.state.service.current.hurry())
    try:
        with TestClient(app) as client:
            replace(folder, other)
            if every == 0:
                os.kill(os.getpid(), signal.SIGHUP)
            deadline = threading.Event()
            for _ in range(1000):
                if answering(client)[0] == bundle_digest(other):
                    break
                deadline.wait(0.01)
            assert answering(client)[0] == bundle_digest(other)
    finally:
        signal.signal(signal.SIGHUP, signal_before)
