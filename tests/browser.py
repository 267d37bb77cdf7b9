"""A browser for tests, driven without a library, and the page of the service in one of its tabs."""

from __future__ import annotations

import json
import os
import select
import subprocess
import time
from pathlib import Path
from typing import Any

KEYS = {"Tab": 9, "Enter": 13, " ": 32}
# Runs before the page does: what the policy of the page forbade is remembered.
WATCH = "window.forbidden = []; addEventListener('securitypolicyviolation', e => forbidden.push(e.violatedDirective))"
ROWS = """[...document.querySelectorAll("tbody tr")].map(row => ({
  statement: row.querySelector(".statement").textContent, speaker: row.querySelector(".speaker").textContent,
  chips: [...row.querySelectorAll(".chip")].map(chip => [chip.querySelector(".sign").textContent,
    chip.querySelector("bdi").textContent, chip.classList[1]])}))"""


class Browser:
    """A browser driven over a pipe, by the Chrome DevTools Protocol: JSON messages that end with a zero byte."""

    def __init__(self, command: list[str], folder: Path) -> None:
        asks, told = os.pipe(), os.pipe()
        piped = ["bash", "-c", f'exec "$@" 3<&{asks[0]} 4>&{told[1]}', "bash"]
        options = ["--remote-debugging-pipe", f"--user-data-dir={folder / 'profile'}", "about:blank"]
        with (folder / "log").open("wb") as log:
            self.process = subprocess.Popen([*piped, *command, *options], pass_fds=(asks[0], told[1]), stderr=log)
        os.close(asks[0])
        os.close(told[1])
        self.asks, self.told, self.buffer, self.count = asks[1], told[0], b"", 0
        self.events: list[dict[str, Any]] = []

    def call(self, method: str, session: str | None = None, **parameters: Any) -> dict[str, Any]:
        self.count += 1
        message = {"id": self.count, "method": method, "params": parameters} | (
            {"sessionId": session} if session else {}
        )
        content = json.dumps(message).encode() + b"\0"
        while content:
            content = content[os.write(self.asks, content) :]
        while (answer := self.read()).get("id") != self.count:
            self.events.append(answer)
        assert "error" not in answer, (method, answer)
        return answer["result"]

    def read(self) -> dict[str, Any]:
        while b"\0" not in self.buffer:
            assert select.select([self.told], [], [], 60)[0], "the browser has not answered for a minute"
            piece = os.read(self.told, 1 << 20)
            assert piece, "the browser has ended"
            self.buffer += piece
        message, _, self.buffer = self.buffer.partition(b"\0")
        return json.loads(message)

    def close(self) -> None:
        self.call("Browser.close")
        self.process.wait(timeout=30)
        os.close(self.asks)
        os.close(self.told)


class Tab:
    """One tab of a browser."""

    def __init__(self, browser: Browser) -> None:
        self.browser = browser
        target = browser.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = browser.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network"):
            self.call(f"{domain}.enable")
        self.call("Page.addScriptToEvaluateOnNewDocument", source=WATCH)
        self.resize(1400, 900)

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        return self.browser.call(method, self.session, **parameters)

    def resize(self, width: int, height: int) -> None:
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)

    def prefer(self, **features: str) -> None:
        named = [{"name": name.replace("_", "-"), "value": value} for name, value in features.items()]
        self.call("Emulation.setEmulatedMedia", features=named)

    def run(self, expression: str) -> Any:
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def until(self, expression: str) -> None:
        """Wait until an expression holds."""
        end = time.monotonic() + 20
        while not self.run(f"Boolean({expression})"):
            assert time.monotonic() < end, (expression, self.run("document.body.innerText")[:2000])
            time.sleep(0.02)

    def open(self, url: str) -> None:
        self.call("Page.navigate", url=url)
        self.until(f"location.href === {json.dumps(url)} && document.querySelector('#model')?.textContent")

    def press(self, key: str, control: bool = False) -> None:
        typed = {"Enter": "\r", " ": " "}.get(key, "")
        event = {"key": key, "windowsVirtualKeyCode": KEYS[key], "modifiers": 2 if control else 0}
        self.call(
            "Input.dispatchKeyEvent", type="keyDown", **event, **({"text": typed} if typed and not control else {})
        )
        self.call("Input.dispatchKeyEvent", type="keyUp", **event)

    def rows(self) -> list[dict[str, Any]]:
        """Return what the rows of the table say."""
        return self.run(ROWS)

    def enter(self, text: str, claims: list[str]) -> None:
        """Put an article and claims into the form, as whole texts."""
        self.run(f"document.querySelector('#text').value = {json.dumps(text)}")
        self.run(
            "for (const _ of document.querySelectorAll('#claims li')) document.querySelector('#claims button').click()"
        )
        for index, claim in enumerate(claims):
            self.run("document.querySelector('#add').click()" if index else "")
            self.run(f"document.querySelectorAll('#claims input')[{index}].value = {json.dumps(claim)}")

    def sent(self) -> list[Any]:
        """Return the bodies that were sent from any tab, in their order."""
        requests = [event["params"]["request"] for event in self.browser.events if "request" in event["params"]]
        return [json.loads(request["postData"]) for request in requests if "postData" in request]

    def ask(self, text: str, claims: list[str]) -> None:
        """Ask for the stances of an article and wait until they are shown."""
        self.enter(text, claims)
        self.run("document.querySelector('#ask button[type=submit]').click()")
        self.until("!document.querySelector('#result').hidden && !document.querySelector('#ask[aria-busy]')")
