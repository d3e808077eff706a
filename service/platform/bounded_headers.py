"""HTTP as uvicorn parses it, which by itself holds headers of any size in memory."""

import json
from http import HTTPStatus

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from service.platform.errors import HeadersTooLargeError, MalformedRequestError, ServiceError
from service.platform.problems import MEDIA_TYPE, problem_body

# Twice what is answered properly (`service.platform.bodies`): here there is no request yet, nor an id of it.
_UNFINISHED_BYTES = 64 << 10


class BoundedHeaders(HttpToolsProtocol):
    """Ends a connection whose headers, or trailers after a chunked body, go on and on."""

    _unfinished: int | None = None  # bytes of the headers so far; None between them
    _read = 0  # bytes of this read, if all of them may be of one request's headers

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._unfinished = 0

    def on_headers_complete(self) -> None:
        self._ended()
        super().on_headers_complete()

    def on_chunk_header(self) -> None:
        self._unfinished = 0  # after the last chunk, which has no body, come trailers

    def on_body(self, body: bytes) -> None:
        self._ended()
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._ended()
        super().on_message_complete()

    def data_received(self, data: bytes) -> None:
        self._read = len(data)
        super().data_received(data)
        if self._unfinished is None or self.transport.is_closing():
            return
        self._unfinished += self._read
        if self._unfinished > _UNFINISHED_BYTES:
            if self.cycle is None or self.cycle.response_complete:  # else it would be amid another answer
                limit = f"Headers may have {_UNFINISHED_BYTES} bytes at the very most."
                self.transport.write(_answer(HeadersTooLargeError(limit)))
            self.transport.close()

    def send_400_response(self, msg: str) -> None:
        self.transport.write(_answer(MalformedRequestError(f"This is no HTTP/1.1 request. {msg}")))
        self.transport.close()

    def _ended(self) -> None:
        self._unfinished = None
        self._read = 0


def _answer(error: ServiceError) -> bytes:
    body = json.dumps(problem_body(error, {})).encode()
    head = f"HTTP/1.1 {error.status} {HTTPStatus(error.status).phrase}\r\ncontent-type: {MEDIA_TYPE}\r\n"
    return f"{head}content-length: {len(body)}\r\nconnection: close\r\n\r\n".encode() + body
