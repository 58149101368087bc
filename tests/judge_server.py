"""A small server that speaks OpenAI's chat completions, with judges of known character."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Behaviour = Callable[["Asked"], "Sent"]


@dataclass
class Asked:
    """One request: its number from 1, path, headers and body."""

    number: int
    path: str
    headers: dict[str, str]
    body: dict[str, Any]

    @property
    def text(self) -> str:
        return str(self.body["messages"][0]["content"])

    @property
    def answers(self) -> tuple[str, str]:
        """The two answers as the judge sees them."""
        marked = re.search(r"ANSWER A\n(.*?)\n(=+\[\w+\]=+) ANSWER B\n(.*?)\n\2 END", self.text, re.DOTALL)
        assert marked, self.text
        return marked[1], marked[3]


@dataclass
class Sent:
    """One reply."""

    status: int = 200
    body: str = ""
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class Server:
    url: str
    asked: list[Asked] = field(default_factory=list)
    most_at_once: int = 0


def says(text: str | None, finish: str = "stop") -> Sent:
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": finish}
    return Sent(200, json.dumps({"choices": [choice], "usage": {"total_tokens": 7}}))


def honest(asked: Asked) -> Sent:
    """The answer that says 'good' more often wins, wherever it stands."""
    first, second = (answer.count("good") for answer in asked.answers)
    return says(f"Counted.\nVERDICT: {'TIE' if first == second else 'A' if first > second else 'B'}")


def first_always(asked: Asked) -> Sent:
    return says("I like what comes first.\nVERDICT: A")


@contextmanager
def serving(behaviour: Behaviour) -> Iterator[Server]:
    server, lock, under_way = Server(""), threading.Lock(), [0]

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with lock:
                asked = Asked(len(server.asked) + 1, self.path, dict(self.headers), body)
                server.asked.append(asked)
                under_way[0] += 1
                server.most_at_once = max(server.most_at_once, under_way[0])
            try:
                sent = behaviour(asked)
                data = sent.body.encode()
                # One reply a connection: a client that hung up must not keep the thread.
                headers = {"Content-Length": str(len(data)), "Connection": "close"} | sent.headers
                self.send_response(sent.status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(data)
                self.close_connection = True
            except OSError:
                self.close_connection = True  # the client did not wait: what the slow judge is for
            finally:
                with lock:
                    under_way[0] -= 1

        def log_message(self, *_: Any) -> None:
            return

    running = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    running.daemon_threads = True
    server.url = f"http://127.0.0.1:{running.server_port}/v1"
    thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        running.shutdown()
        running.server_close()
        thread.join()
