"""For the tests of the page: a browser, the service, and what stands in for it where a test wants other answers."""

from __future__ import annotations

import os
import shutil
import socket
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import uvicorn

from claimstance.article import read_statements
from claimstance.bundle import read_bundle, write_bundle
from claimstance.lexicon import Lexicon
from claimstance.predictor import Predictor
from claimstance.service import create_app
from tests.browser import Browser, Tab
from tests.stub_service import ARTICLE, CLAIMS, Stub

BROWSER = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
]


@pytest.fixture(scope="session")
def chromium() -> list[str]:
    """The command that starts a browser without a window."""
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if not found:
        if os.environ.get("CI"):
            pytest.fail("no Chromium, which the checks of a change load pages in; install it: apt-get install chromium")
        pytest.skip("no Chromium to load a page in; install it: apt-get install chromium")
    return [found, *BROWSER]


@pytest.fixture
def stub(lexicon: Lexicon) -> Iterator[Stub]:
    """A service that answers what a test wants."""
    stub = Stub(lexicon)
    yield stub
    stub.server.shutdown()
    stub.server.server_close()


@pytest.fixture(scope="session")
def service(model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of the service itself, with a small model that takes a stance in some statements of the article only."""
    bundle = read_bundle(model_folder)
    statements = read_statements(ARTICLE, Predictor(bundle).lexicon)
    found = Predictor(bundle).predict([(statement.text, CLAIMS[0]) for statement in statements])
    threshold = float(np.median([prediction.confidence for prediction in found]))
    folder = tmp_path_factory.mktemp("served")
    write_bundle(replace(bundle, manifest=replace(bundle.manifest, threshold=threshold)), folder / "unsure")
    server = uvicorn.Server(uvicorn.Config(create_app(folder / "unsure"), log_level="error"))
    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        server.should_exit = True
        thread.join(20)


@pytest.fixture(scope="session")
def browser(chromium: list[str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """A browser, started once."""
    browser = Browser(chromium, tmp_path_factory.mktemp("browser"))
    yield browser
    browser.close()


@pytest.fixture
def tab(browser: Browser) -> Iterator[Tab]:
    """A new tab. Whatever a test does in it, nothing is asked of other hosts, forbidden by the policy or thrown."""
    browser.events.clear()
    tab = Tab(browser)
    yield tab
    assert tab.run("forbidden") == []
    events = [event["params"] for event in browser.events if event.get("sessionId") == tab.session]
    origin = tab.run("location.origin")
    urls = {event["request"]["url"] for event in events if "request" in event}
    assert urls and {url for url in urls if not url.startswith((f"{origin}/", f"blob:{origin}/"))} == set()
    assert [event["exceptionDetails"] for event in events if "exceptionDetails" in event] == []
    tab.call("Page.close")
