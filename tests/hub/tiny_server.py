"""What the images of these tests run: the least that JupyterHub takes for a notebook server."""

import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlparse


class Answer(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")


address = urlparse(os.environ["JUPYTERHUB_SERVICE_URL"])
ThreadingHTTPServer((address.hostname or "", address.port or 8888), Answer).serve_forever()
