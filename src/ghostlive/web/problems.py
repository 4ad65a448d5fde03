"""Errors as problem details (RFC 9457), for the API and the media endpoints alike."""

from ghostlive.core.problem import CONTENT_TYPE, problem_body

__all__ = ["CONTENT_TYPE", "ProblemError", "problem_body"]


class ProblemError(Exception):
    """An answer other than the one asked for: a status, and a sentence that says what to do."""

    def __init__(self, status: int, detail: str, *, headers: tuple[tuple[bytes, bytes], ...] = ()) -> None:
        """`detail` is shown to the client; `headers` are added to the answer."""
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.headers = headers
