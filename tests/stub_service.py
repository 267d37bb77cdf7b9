"""What stands in for the service where a test of its page wants answers that no model gives for sure."""

from __future__ import annotations

import json
import mimetypes
import threading
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from claimstance.article import read_statements
from claimstance.lexicon import Lexicon

PAGE = Path(__file__).resolve().parent.parent / "claimstance/service/page"
ARTICLE = """أعلنت نقابة عمال المرفأ، صباح الثلاثاء، أن شحنة قمح ملوثة وصلت إلى المرفأ.

ونفى وزير الاقتصاد، خلال مؤتمر صحفي، وصول أي قمح ملوث إلى المرفأ. وأكد مدير المختبر، في بيان، أن القمح ملوث.
وكانت أسعار الخبز قد ارتفعت الشهر الماضي بنسبة كبيرة."""
ENGLISH = "The union said that the cargo of wheat arrived. The minister denied that any cargo arrived at the port."
CLAIMS = ["وصلت شحنة قمح ملوثة إلى المرفأ", "The price of bread rose"]


class Stub:
    """Serves the page and answers by the contract of the service; ``next`` are answers given before the usual ones."""

    def __init__(self, lexicon: Lexicon) -> None:
        self.lexicon, self.next, self.ready, self.asked = lexicon, [], [], []
        stub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                name = self.path.partition("?")[0].removeprefix("/") or "index.html"
                if name == "ready":
                    self.reply(*(stub.ready.pop(0) if stub.ready else (200, {"model": model()})))
                elif (PAGE / name).is_file():
                    self.reply(200, (PAGE / name).read_bytes(), mimetypes.guess_type(name)[0])
                else:
                    self.reply(404, b"")

            def do_POST(self) -> None:
                stub.asked.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self.reply(*(stub.next.pop(0) if stub.next else (200, stub.answer(**stub.asked[-1]))))

            def reply(self, status: int, body: Any, kind: str = "application/json") -> None:
                content = body if isinstance(body, bytes) else json.dumps(body).encode()
                self.send_response(status)
                headers = {"Content-Type": f"{kind}; charset=utf-8", "Content-Length": len(content)}
                if status == 408:
                    headers["Connection"] = "close"
                for name, value in {**headers, "Content-Security-Policy": "default-src 'self'"}.items():
                    self.send_header(name, str(value))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *arguments: Any) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def answer(self, text: str, claims: list[str], stances: tuple[str, ...] = ("assert", "deny", "confirm")) -> Any:
        """Answer with the statements of the text, and stances that take turns."""
        turns = [*stances, None]
        statements = []
        for index, found in enumerate(read_statements(text, self.lexicon)):
            said = [turns[(index + claim) % len(turns)] for claim in range(len(claims))]
            given = [{"stance": stance, "confidence": 0.7, "probabilities": odds(stance, stances)} for stance in said]
            fields = {"text": found.text, "start": found.start, "stop": found.stop, "speaker": found.speaker}
            statements.append({**fields, "stances": given})
        return {"model": model(stances), "claims": claims, "statements": statements}


def model(stances: tuple[str, ...] = ("assert", "deny", "confirm")) -> dict[str, Any]:
    return {"name": "small", "digest": "0f" * 32, "labels": [*stances, "none"], "stances": list(stances)}


def odds(stance: str | None, stances: tuple[str, ...]) -> dict[str, float]:
    labels = [*stances, "none"]
    return {label: 0.7 if label == (stance or "none") else 0.3 / (len(labels) - 1) for label in labels}


def answer_of(service: str, text: str, claims: list[str]) -> dict[str, Any]:
    """Ask the service without the page."""
    body = json.dumps({"text": text, "claims": claims}).encode()
    request = urllib.request.Request(f"{service}/article", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=20) as response:
        return json.load(response)
