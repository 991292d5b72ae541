"""A server for tests that many clients may call at once."""

from http.server import ThreadingHTTPServer


class HttpServer(ThreadingHTTPServer):
    """Holds as many waiting connections as any test opens; the standard library holds five.

    Some kernels answer a connection beyond that with a reset, so that a request fails by chance.
    """

    request_queue_size = 128
