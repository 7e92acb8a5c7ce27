"""What simulated images of model servers run: OpenAI's API, answered without a model.

It loads for a moment, as a model does, then answers ``/v1/health/ready``, ``/v1/models`` and
``/v1/chat/completions`` with words that say that nobody thought about them. In a pod it would
listen on every address; here that would take the port from every other pod, so it takes the pod's.
"""

import json
import os
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

__all__ = ["ADDRESS_VARIABLE", "serve"]

ADDRESS_VARIABLE: Final = "SIMULATED_POD_ADDRESS"
"""Set in every simulated container: where its pod listens, instead of at localhost."""

_PORT: Final = 8000
_LOADING_SECONDS: Final = 2.0
_LARGEST_BODY_BYTES: Final = 2**20


class _Answers(BaseHTTPRequestHandler):
    loaded_at: float
    model: str

    def do_GET(self) -> None:
        """Answer about health and models."""
        if self.path == "/v1/health/ready":
            is_ready = time.monotonic() >= self.loaded_at
            self._answer(200 if is_ready else 503, {"message": "ready" if is_ready else "loading"})
        elif self.path == "/v1/models":
            self._answer(200, {"object": "list", "data": [{"id": self.model, "object": "model"}]})
        else:
            self._answer(404, {"message": "there is no such path"})

    def do_POST(self) -> None:
        """Answer a chat."""
        length = min(int(self.headers.get("Content-Length") or 0), _LARGEST_BODY_BYTES)
        self.rfile.read(length)
        if self.path != "/v1/chat/completions":
            self._answer(404, {"message": "there is no such path"})
            return
        message = {"role": "assistant", "content": "A simulated model server has no opinion."}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        self._answer(200, {"object": "chat.completion", "model": self.model, "choices": [choice]})

    def _answer(self, status: int, body: Any) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


def serve() -> None:
    """Serve until the container ends."""
    _Answers.loaded_at = time.monotonic() + _LOADING_SECONDS
    _Answers.model = os.environ.get("NIM_SERVED_MODEL_NAME", "model")
    address = os.environ.get(ADDRESS_VARIABLE, "127.0.0.1")
    ThreadingHTTPServer((address, _PORT), _Answers).serve_forever()


if __name__ == "__main__":
    serve()
