"""Why a job's files cannot be trained on, in OpenAI's words."""


class Refusal(Exception):  # noqa: N818  (an answer, not an error)
    """A job fails with this code and message."""

    def __init__(self, code: str, message: str, param: str | None) -> None:
        super().__init__(message)
        self.code, self.message, self.param = code, message, param
