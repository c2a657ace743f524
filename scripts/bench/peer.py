"""The benchmark's application for uWSGI."""

LARGE = b"x" * (64 * 1024)
SMALL = b"hello world\n"


def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [LARGE if "/large" in environ["REQUEST_URI"] else SMALL]
