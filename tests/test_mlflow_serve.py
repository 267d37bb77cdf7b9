"""The champion as MLflow serves it: over HTTP, from the registry alone, with neither the checkout nor training's packages."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from claimstance.bundle import bundle_digest
from claimstance.predictor import Prediction, Predictor
from claimstance.records import Pair
from training.tracking import MlflowTracker, Model

MODEL = "claim-stance"
STARTS_WITHIN_S = 60

# Run by Python before anything else: takes the checkout away, and what only training has installed.
ALONE = """
import os, sys

sys.path[:] = [path for path in sys.path if not os.path.isdir(os.path.join(path, "claimstance"))]
ABSENT = "training evaluation rich sklearn scipy torch transformers datasets optuna matplotlib cleanlab onnxruntime".split()

class Absent:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name.partition(".")[0] in ABSENT:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Absent)
"""


@dataclass(frozen=True)
class Served:
    """A server that answers: its address and its process."""

    address: str
    process: subprocess.Popen

    def ask(self, body: Any) -> tuple[int, Any]:
        """Return the status and the answer, which has to be JSON as the standard has it, without NaN."""
        answer = httpx.post(f"{self.address}/invocations", json=body, timeout=30)
        return answer.status_code, json.loads(answer.text, parse_constant=pytest.fail)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def register_champion(folder: Path, uri: str, bundle: Path) -> None:
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        # MLflow warns of its own classes, the first time that it logs a model.
        warnings.simplefilter("ignore")
        patch.chdir(folder)
        manifest = Predictor.load(bundle).manifest
        tracker = MlflowTracker(uri, MODEL, MODEL)
        model = Model(bundle, bundle_digest(bundle), manifest.labels, manifest.inputs, "a small one", {})
        with tracker.run("small", "to be served") as run:
            run.record([model])
        tracker.decide(run.version, {"gate": "passed"}, champion=True)


@pytest.fixture(scope="module")
def bundle(model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A copy of the small model, which is gone from its folder when it is served."""
    yield Path(shutil.copytree(model_folder, tmp_path_factory.mktemp("registered") / "small"))


@pytest.fixture(scope="module")
def served(migrated: Path, bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """The champion, registered and served by the command that the README names."""
    folder = tmp_path_factory.mktemp("served")
    shutil.copy(migrated, folder / "mlflow.db")
    uri = f"sqlite:///{folder / 'mlflow.db'}"
    register_champion(folder, uri, bundle)
    shutil.rmtree(bundle)
    (folder / "alone").mkdir()
    (folder / "alone" / "sitecustomize.py").write_text(ALONE, encoding="utf-8")
    port = free_port()
    command = f"-m mlflow models serve -m models:/{MODEL}@champion --env-manager local --host 127.0.0.1 --port {port}"
    environment = {
        **os.environ,
        "MLFLOW_TRACKING_URI": uri,
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "PYTHONPATH": str(folder / "alone"),
        # MLflow runs uvicorn by its name.
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    log = folder / "log.txt"
    with open(log, "w", encoding="utf-8") as output:
        process = subprocess.Popen(
            [sys.executable, *command.split()],
            cwd=folder,
            env=environment,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    address = f"http://127.0.0.1:{port}"
    try:
        for _ in range(STARTS_WITHIN_S * 10):
            if process.poll() is not None:
                pytest.fail(log.read_text(encoding="utf-8"))
            with contextlib.suppress(httpx.TransportError):
                if httpx.get(f"{address}/ping").status_code == 200:
                    break
            time.sleep(0.1)
        else:
            pytest.fail(log.read_text(encoding="utf-8"))
        yield Served(address, process)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@pytest.fixture(scope="module")
def expected(few_pairs: list[Pair], predictor: Predictor) -> list[Prediction]:
    predictions = predictor.predict(few_pairs[:30])
    assert {None, "deny"} < {prediction.stance for prediction in predictions}
    return predictions


def as_row(prediction: Prediction) -> dict[str, Any]:
    probabilities = {f"probability_{label}": value for label, value in prediction.probabilities.items()}
    return {"predicted_stance": prediction.stance, "confidence": prediction.confidence, **probabilities}


def test_records_are_answered_as_the_bundle_does_with_null_for_abstention(
    served: Served, few_pairs: list[Pair], expected: list[Prediction]
) -> None:
    rows = [{"quote": pair.quote, "claim": pair.claim} for pair in few_pairs[:30]]
    assert served.ask({"dataframe_records": rows}) == (200, {"predictions": [as_row(each) for each in expected]})
    abstained = next(index for index, each in enumerate(expected) if each.stance is None)
    status, answer = served.ask({"dataframe_records": [rows[abstained]]})
    assert (status, answer["predictions"]) == (200, [as_row(expected[abstained])])


def test_a_split_table_is_answered_whatever_the_order_of_its_columns(
    served: Served, few_pairs: list[Pair], expected: list[Prediction]
) -> None:
    table = {"columns": ["claim", "note", "quote"], "data": [[p.claim, "–", p.quote] for p in few_pairs[:30]]}
    assert served.ask({"dataframe_split": table}) == (200, {"predictions": [as_row(each) for each in expected]})
    empty = {"columns": ["quote", "claim"], "data": []}
    assert served.ask({"dataframe_split": empty}) == (200, {"predictions": []})


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([{"quote": "نفى الوزير ذلك"}], "missing inputs ['claim']"),
        ([{"claim": "وصلت الشحنة"}], "missing inputs ['quote']"),
        ([{"statement": "نفى", "claim": "وصلت الشحنة"}], "missing inputs ['quote']"),
        ([{"quote": "نفى الوزير ذلك", "claim": "أ"}, {"quote": "نفى الوزير ذلك", "claim": ""}], "pair 1"),
        ([{"quote": "نفى الوزير ذلك", "claim": None}], "pair 0"),
        ([{"quote": "نفى الوزير ذلك", "claim": 5}], "pair 0"),
    ],
)
def test_a_bad_request_is_told_what_is_wrong(served: Served, rows: list[dict[str, Any]], words: str) -> None:
    status, answer = served.ask({"dataframe_records": rows})
    assert status == 400 and words in answer["message"] and "stack_trace" not in answer


def test_the_server_ends_when_it_is_told_to(served: Served) -> None:
    served.process.send_signal(signal.SIGTERM)
    assert served.process.wait(timeout=15) in (0, -signal.SIGTERM)
    with pytest.raises(httpx.TransportError):
        for _ in range(100):
            httpx.get(f"{served.address}/ping")
            time.sleep(0.1)
