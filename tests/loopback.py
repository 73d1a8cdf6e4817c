"""A web server on this machine that misbehaves on demand."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

BODY = bytes(range(256)) * 40  # 10,240 bytes


class Server(ThreadingHTTPServer):
    """Answers the n-th request with the n-th of `steps`, the last one for ever; keeps requests."""

    daemon_threads = True

    def __init__(self, *steps):
        super().__init__(("127.0.0.1", 0), Handler)
        self.steps, self.requests, self.lock = steps, [], threading.Lock()
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}/file.zip"

    def __exit__(self, *error):
        self.shutdown()
        super().__exit__(*error)


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        with self.server.lock:
            self.server.requests.append((self.command, self.path, dict(self.headers)))
            count = len(self.server.requests)
        self.server.steps[min(count, len(self.server.steps)) - 1](self)

    def do_HEAD(self):
        raise AssertionError("no HEAD requests")

    def log_message(self, *args):
        pass

    def reply(self, status, body=b"", length=None, **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        if length != "none":
            self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        self.wfile.write(body)


def whole(handler):
    handler.reply(200, BODY)


def ranged(handler):
    start = int(handler.headers.get("Range", "bytes=0-")[6:-1])
    if start >= len(BODY):
        return handler.reply(416)
    if start == 0:
        return whole(handler)
    last = len(BODY) - 1
    handler.reply(206, BODY[start:], Content_Range=f"bytes {start}-{last}/{last + 1}")


def cut(handler):
    handler.reply(200, BODY[:3000], length=len(BODY))


def status(code, body=b"", **headers):
    return lambda handler: handler.reply(code, body, **headers)
