"""Another web site: pages of a test, and scripts of the front end's packages, under an origin of its own."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

PACKAGES = Path(__file__).parents[2] / "frontend" / "node_modules"


class Site:
    """A running site."""

    def __init__(self, server: ThreadingHTTPServer, pages: dict[str, str]) -> None:
        self._server = server
        self._pages = pages

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def add(self, name: str, html: str) -> str:
        """Put up a page; its address."""
        self._pages[f"/{name}"] = html
        return f"{self.url}/{name}"


@contextmanager
def site() -> Iterator[Site]:
    """A site on a free port. `/packages/…` are files of `frontend/node_modules`."""
    pages: dict[str, str] = {}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path in pages:
                self._answer("text/html; charset=utf-8", pages[self.path].encode())
            elif self.path.startswith("/packages/") and ".." not in self.path:
                self._answer("text/javascript", (PACKAGES / self.path.removeprefix("/packages/")).read_bytes())
            else:
                self.send_response(HTTPStatus.NO_CONTENT)
                self.end_headers()

        def _answer(self, kind: str, body: bytes) -> None:
            self.send_response(HTTPStatus.OK)
            self.send_header("content-type", kind)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield Site(server, pages)
        finally:
            server.shutdown()
            thread.join()
