"""The load test: it starts the service, counts what comes back, and tells a failure from an answer."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from evaluation import load_test
from evaluation.load_test import Load, main


@pytest.fixture(autouse=True)
def this_checkout(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The service that is started is the one of this checkout."""
    monkeypatch.chdir(root)
    monkeypatch.setenv("PYTHONPATH", str(root))


def test_it_prints_requests_pairs_times_and_errors(model_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--model", str(model_folder), "--seconds", "0.4", "--clients", "3"]) == 0
    rows = [line.strip("│ ").split("│") for line in capsys.readouterr().out.splitlines() if line.startswith("│")]
    assert [int(row[0]) for row in rows] == list(load_test.BATCHES)
    for size, row in zip(load_test.BATCHES, rows, strict=True):
        requests, pairs, middle, late, errors, alone = (float(cell.replace(",", "")) for cell in row[1:])
        assert requests > 1 and abs(pairs - size * requests) <= size and alone > 1
        assert 0 < middle <= late and errors == 0


def test_refused_requests_and_lost_connections_are_errors(model_folder: Path) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 503 Busy\r\nContent-Length: 2\r\n\r\n{}")
        await reader.readuntil(b"\r\n\r\n")
        writer.close()

    async def drive() -> Load:
        async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
            load = Load()
            port = server.sockets[0].getsockname()[1]
            await load_test._client(port, [b"GET / HTTP/1.1\r\n\r\n"], 0, 5.0, load)
            return load

    load = asyncio.run(drive())
    assert (load.times, load.errors) == ([], 2)


def test_a_service_that_does_not_start_is_told(tmp_path: Path, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--model", str(tmp_path)]) == 2
    assert "not an exported model" in capsys.readouterr().err
    with pytest.raises(load_test.ClaimstanceError, match="did not start"), load_test.serving(str(tmp_path), 1):
        pass
