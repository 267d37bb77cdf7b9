"""The command ``claimstance serve`` as a process: it starts, stops, and takes over a new bundle without a failed request."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import signal
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from claimstance.bundle import bundle_digest, read_bundle, write_bundle
from claimstance.cli import main
from claimstance.errors import ClaimstanceError
from claimstance.service.command import _listen

ONE = {"quote": "نفى مدير المرفأ وصول أي شحنة ملوثة.", "claim": "وصلت شحنة قمح ملوثة إلى المرفأ."}
SERVE = "import sys; from claimstance.cli import main; sys.exit(main(['serve', *sys.argv[1:]]))"
# Predictions that wait for a file, after they have made another one.
SLOW = """
import pathlib, sys, time
from claimstance.cli import main
from claimstance.predictor import Predictor
begun, go, predict = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]), Predictor.predict
def slow(predictor, pairs):
    begun.touch()
    while not go.exists():
        time.sleep(0.01)
    return predict(predictor, pairs)
Predictor.predict = slow
sys.exit(main(["serve", *sys.argv[3:]]))
"""


def wait_for(condition: Callable[[], bool]) -> None:
    """Ask until a condition holds."""
    pause = threading.Event()
    for _ in range(2000):
        if condition():
            return
        pause.wait(0.01)
    raise AssertionError("the condition never held")


@dataclasses.dataclass
class Running:
    """A service that runs as a process."""

    process: subprocess.Popen
    url: str
    start: str

    def stop(self) -> int:
        """End it; return its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(20)

    @property
    def closed(self) -> bool:
        """Whether it takes no more connections."""
        try:
            socket.create_connection(("127.0.0.1", int(self.url.rpartition(":")[2]))).close()
        except ConnectionRefusedError:
            return True
        return False


@contextlib.contextmanager
def running(root: Path, log: Path, program: str, *arguments: object) -> Iterator[Running]:
    """Run a program that serves; its log goes to a file."""
    command = [sys.executable, "-c", program, *map(str, arguments), "--port", "0"]
    environment = {**os.environ, "PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"}
    with open(log, "w", encoding="utf-8") as errors:
        process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=errors, encoding="utf-8")
    try:
        start = "".join(process.stdout.readline() for _ in range(3))
        assert start.startswith("serving at http://127.0.0.1:"), log.read_text(encoding="utf-8")
        yield Running(process, start.split("/ ")[0].removeprefix("serving at "), start)
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def test_it_says_where_and_what_it_serves_answers_at_once_and_stops(
    root: Path, model_folder: Path, tmp_path: Path
) -> None:
    with running(root, tmp_path / "log", SERVE, model_folder, "--max-pairs", 7) as service:
        digest = bundle_digest(model_folder)
        assert digest in service.start and "small" in service.start and "7 pairs" in service.start
        with httpx.Client(base_url=service.url) as client:
            assert client.post("/predict", json=ONE).json()["model"]["digest"] == digest
            times = [client.get("/health").elapsed.total_seconds() for _ in range(25)]
            assert statistics.median(times) < 0.03, "answers wait for no acknowledgement of their heads"
            refused = client.post("/predict", content=iter([b"x" * 100_000] * 50))
            assert (refused.status_code, refused.json()["error"]["code"]) == (413, "body_too_large")
        assert service.stop() == 0
    lines = (tmp_path / "log").read_text(encoding="utf-8").splitlines()
    assert len(lines) == 27 and "POST /predict 200 " in lines[0] and "POST /predict 413 " in lines[-1]


def test_sigterm_lets_what_was_begun_finish(root: Path, model_folder: Path, tmp_path: Path) -> None:
    begun, go = tmp_path / "begun", tmp_path / "go"
    with (
        running(root, tmp_path / "log", SLOW, begun, go, model_folder, "--quiet") as service,
        ThreadPoolExecutor(1) as pool,
    ):
        answer = pool.submit(httpx.post, f"{service.url}/predict", json=ONE, timeout=20)
        wait_for(begun.exists)
        service.process.send_signal(signal.SIGTERM)
        wait_for(lambda: service.closed)
        assert not answer.done() and service.process.poll() is None
        go.touch()
        assert answer.result().status_code == 200
        assert service.process.wait(20) == 0
    assert (tmp_path / "log").read_text(encoding="utf-8") == ""


def test_work_that_never_ends_does_not_keep_it(root: Path, model_folder: Path, tmp_path: Path) -> None:
    begun = tmp_path / "begun"
    with (
        running(root, tmp_path / "log", SLOW, begun, tmp_path / "never", model_folder, "--grace", 0.3) as service,
        ThreadPoolExecutor(1) as pool,
    ):
        answer = pool.submit(httpx.post, f"{service.url}/predict", json=ONE, timeout=20)
        wait_for(begun.exists)
        started = time.monotonic()
        assert service.stop() == 0
        assert time.monotonic() - started < 8
        with pytest.raises(httpx.HTTPError):
            answer.result().raise_for_status()
    assert "gave up on work that took longer than 0.3 seconds" in (tmp_path / "log").read_text(encoding="utf-8")


def test_a_new_bundle_costs_no_request(root: Path, model_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "served"
    first = read_bundle(model_folder)
    second = dataclasses.replace(first, manifest=dataclasses.replace(first.manifest, name="unsure", threshold=1.0))
    write_bundle(first, folder)
    digests, seen, stop = [bundle_digest(folder)], [], threading.Event()

    def ask() -> list[tuple[int, str, str | None]]:
        answers = []
        with httpx.Client(base_url=service.url, timeout=20) as client:
            while not stop.is_set():
                response = client.post("/predict", json=ONE)
                body = response.json()
                answers.append((response.status_code, body["model"]["digest"], body["predictions"][0]["stance"]))
                seen.append(body["model"]["digest"])
        return answers

    with (
        running(root, tmp_path / "log", SERVE, folder, "--reload-every", 0.05, "--quiet") as service,
        ThreadPoolExecutor(4) as pool,
    ):
        clients = [pool.submit(ask) for _ in range(4)]
        try:
            for bundle in (second, first, second):
                write_bundle(bundle, folder)
                digests.append(bundle_digest(folder))
                wait_for(lambda: bool(seen) and seen[-1] == digests[-1])
        finally:
            stop.set()
        answers = [answer for client in clients for answer in client.result()]
        assert service.stop() == 0
    stances = {digest: stance for _, digest, stance in answers}
    assert set(stances) == set(digests) and len(set(digests)) == 2
    assert stances[digests[0]] is not None and stances[digests[1]] is None
    assert all(status == 200 and stance == stances[digest] for status, digest, stance in answers)


def test_a_body_that_does_not_come_is_waited_for_no_longer_than_allowed(
    root: Path, model_folder: Path, tmp_path: Path
) -> None:
    with running(root, tmp_path / "log", SERVE, model_folder, "--timeout", 0.3) as service:
        port = int(service.url.rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port), timeout=20) as client:
            client.sendall(
                b"POST /predict HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: 9\r\n\r\n{"
            )
            answer = b""
            while not answer.endswith(b"}}"):
                answer += client.recv(65536)
            assert answer.startswith(b"HTTP/1.1 408 ") and b"0.3 seconds" in answer
        assert httpx.get(f"{service.url}/health").status_code == 200


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["no/such/folder"], "no such model folder"),
        (["MODEL", "--max-body", "0"], "max-body is 0, expected a number above 0"),
        (["MODEL", "--grace", "-1"], "--reload-every and --grace are seconds, expected 0 or more"),
        (["MODEL", "--host", "203.0.113.1"], "cannot listen there"),
        (["MODEL", "--port", "70000"], "cannot listen there"),
    ],
)
def test_what_cannot_be_served_is_told_in_one_line(
    arguments: list[str], words: str, model_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["serve", *(str(model_folder) if part == "MODEL" else part for part in arguments)]) == 2
    printed = capsys.readouterr()
    assert printed.out == "" and words in printed.err and printed.err.count("\n") == 1


def test_a_port_in_use_is_refused_and_an_open_address_is_warned_of(capsys: pytest.CaptureFixture[str]) -> None:
    with _listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ClaimstanceError, match=f"127.0.0.1:{port}: cannot listen there .*name another"):
            _listen("127.0.0.1", port)
    assert capsys.readouterr().err == ""
    _listen("0.0.0.0", 0).close()
    assert capsys.readouterr().err.startswith("warning: 0.0.0.0 can be reached from other machines")
