"""What can go wrong in the runtime.

    LocalStackError                everything raised on purpose; the text is for the person
    ├─ SettingsError               a setting is wrong or missing
    ├─ TemplateError               template.yaml says what cannot be honoured (file:line)
    ├─ ServiceFailed               a part (PostgreSQL, Kafka, …) did not start or is not ready
    └─ InvokeError                 answered by the Invoke API with a code of AWS
       ├─ FunctionNotFound         404 ResourceNotFoundException
       ├─ Throttled                429 TooManyRequestsException
       ├─ PayloadTooLarge          413 RequestTooLargeException
       ├─ InvalidPayload           400 InvalidRequestContentException
       ├─ InvalidParameter         400 InvalidParameterValueException
       ├─ ValidationFailed         400 ValidationException: no member of the request's model
       ├─ RecursiveInvocation      400 RecursiveInvocationException
       ├─ AccessDenied             403 AccessDeniedException: what a web page could have sent
       ├─ UnsupportedOperation     501 what this runtime does not do, by name
       └─ RuntimeFailed            500 ServiceException: the runtime could not run an environment

Defects (`IllegalTransition`, `ProtocolViolation`) are not `LocalStackError`s.
"""

from __future__ import annotations


class LocalStackError(Exception):
    """Something a person can act on; the message says what happened and what to do."""


class SettingsError(LocalStackError):
    """A setting is wrong or missing."""


class ServiceFailed(LocalStackError):
    """A part of the stack did not start or did not become ready."""


class TemplateError(LocalStackError):
    """The template says something that cannot be honoured.

    `where` is `file:line`, `path` the place inside the template, `hint` what to do.
    """

    def __init__(self, message: str, *, where: str = "", path: str = "", hint: str = "") -> None:
        parts = [part for part in (where, path, message) if part]
        super().__init__(": ".join(parts) + (f" ({hint})" if hint else ""))


class InvokeError(LocalStackError):
    """An invocation that was refused before a function saw it."""

    status = 500
    code = "ServiceException"
    fault = "Service"


class FunctionNotFound(InvokeError):
    """No function of that name."""

    status = 404
    code = "ResourceNotFoundException"
    fault = "User"


class Throttled(InvokeError):
    """No environment is free and none may be started."""

    status = 429
    code = "TooManyRequestsException"
    fault = "User"

    def __init__(self, reason: str) -> None:
        super().__init__("Rate Exceeded.")
        self.reason = reason


class PayloadTooLarge(InvokeError):
    """The payload is over the limit of its invocation type."""

    status = 413
    code = "RequestTooLargeException"
    fault = "User"


class InvalidPayload(InvokeError):
    """The payload is not JSON."""

    status = 400
    code = "InvalidRequestContentException"
    fault = "User"


class InvalidParameter(InvokeError):
    """A header or query parameter has a value that the API does not take."""

    status = 400
    code = "InvalidParameterValueException"
    fault = "User"


class ValidationFailed(InvokeError):
    """A value is outside of the API's model: a name's pattern, an enumeration, a range."""

    status = 400
    code = "ValidationException"
    fault = "User"

    def __init__(self, value: object, field: str, constraint: str) -> None:
        super().__init__(
            f"1 validation error detected: Value '{value}' at '{field}' failed to satisfy "
            f"constraint: Member must {constraint}"
        )


class RecursiveInvocation(InvokeError):
    """A function calls itself, through others or directly, again and again."""

    status = 400
    code = "RecursiveInvocationException"
    fault = "User"


class AccessDenied(InvokeError):
    """A request that a web page could have sent."""

    status = 403
    code = "AccessDeniedException"
    fault = "User"


class UnsupportedOperation(InvokeError):
    """An operation of the Lambda API that this runtime does not do."""

    status = 501
    code = "UnsupportedOperation"
    fault = "User"


class RuntimeFailed(InvokeError):
    """The runtime itself could not start or keep an environment."""


class IllegalTransition(RuntimeError):
    """An execution environment was asked to move to a state that its state does not allow."""


class ProtocolViolation(RuntimeError):
    """The other side of the Runtime API spoke out of turn."""
