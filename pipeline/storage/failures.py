"""What an exception of a storage means: whether to try again, and what to tell, without its own message."""

import errno
import os
from typing import Any

_PERMANENT = {
    errno.EINVAL, errno.EPERM, errno.ENOSYS, errno.ENAMETOOLONG, errno.EMSGSIZE, errno.ENOSPC, errno.EDQUOT,
    errno.EROFS, errno.ENOTDIR, errno.ELOOP, errno.EREMCHG,
}  # fmt: skip
_OF_DISKS = {errno.ENOSPC, errno.EDQUOT, errno.EROFS}
_KINDS: dict[type[OSError], int] = {
    FileExistsError: errno.EEXIST, FileNotFoundError: errno.ENOENT, PermissionError: errno.EACCES,
    IsADirectoryError: errno.EISDIR,
}  # fmt: skip
_CLIENT_LIBRARIES = {
    "aiobotocore", "aiohttp", "botocore", "gcsfs", "google", "httpx", "httpx2", "requests", "urllib3",
}  # fmt: skip
_REGION = "the bucket is in another region: set AWS_DEFAULT_REGION to it"
_KEYS = "give credentials in the environment (AWS_..., GOOGLE_...), or by the machine's role"
# By S3's code of an error.
_REASONS = {
    "NoSuchBucket": "there is no such bucket",
    "InvalidBucketName": "no bucket can have this name",
    "AccessDenied": "the credentials do not permit it",
    "InvalidAccessKeyId": "the store does not know the access key: check AWS_ACCESS_KEY_ID",
    "SignatureDoesNotMatch": "the secret does not fit the access key: check AWS_SECRET_ACCESS_KEY",
    "ExpiredToken": "the credentials have expired: get new ones",
    "InvalidToken": "the session token is not valid: check AWS_SESSION_TOKEN",
    "RequestTimeTooSkewed": "this machine's clock is wrong",
    "PermanentRedirect": _REGION,
    "AuthorizationHeaderMalformed": _REGION,
    "IllegalLocationConstraintException": _REGION,
}
# By the name of the exception: what no second try would change.
_BEFORE_THE_REQUEST = {
    "NoCredentialsError": f"no credentials were found: {_KEYS}",
    "PartialCredentialsError": f"credentials are incomplete: {_KEYS}",
    "DefaultCredentialsError": f"no credentials were found: {_KEYS}",
    "ProfileNotFound": "there is no such profile: check AWS_PROFILE",
    "ConfigParseError": "the file of AWS_CONFIG_FILE cannot be read",
    "InvalidConfigError": "the file of AWS_CONFIG_FILE cannot be read",
    "UnauthorizedSSOTokenError": "the login has expired: aws sso login",
    "SSOTokenLoadError": "the login has expired: aws sso login",
    "InvalidRegionError": "no region can have this name: check AWS_DEFAULT_REGION",
    "NoRegionError": "no region is given: set AWS_DEFAULT_REGION",
    "ParamValidationError": "no bucket or key can have this name",
}
# Answers to HEAD requests have no code.
_OF_STATUS = {
    301: _REGION,
    400: "credentials that have expired, or a bucket in another region",
    401: "the credentials are not accepted",
    403: "the credentials are wrong, or do not permit it",
    416: "the file ends before: it has been cut short",
    501: "the store cannot do this",
}
_WORTH_A_TRY = {"InternalError", "RequestTimeout", "ServiceUnavailable", "SlowDown", "Throttling"}
_NOT_IMPLEMENTED = (501, 505)


def describe(error: BaseException) -> str:
    """An exception's type, HTTP status and reason, without its message, which may hold credentials."""
    status, code, name = http_status(error), _code(error), type(error).__name__
    answer = f", HTTP {status}" + (f" {code}" if code else "") if status else ""
    reason = _REASONS.get(code or "") or _BEFORE_THE_REQUEST.get(name) or _OF_STATUS.get(status or 0)
    if reason is None and getattr(error, "errno", None) == errno.EREMCHG:
        reason = _REGION
    return f"{name}{answer}: {reason}" if reason else f"{name}{answer}"


def without_message(error: Exception, url: str) -> OSError:
    """An OSError of the type that callers distinguish, with a message that holds no secret.

    What a store refuses for good is a PermissionError, whatever its reason.
    """
    kind, number = next((kind for kind in _KINDS.items() if isinstance(error, kind[0])), (OSError, errno.EIO))
    if isinstance(error, OSError) and error.errno:
        number = error.errno
    status = http_status(error)
    if type(error).__name__ in _BEFORE_THE_REQUEST or (status is not None and kind is OSError):
        kind, number = PermissionError, errno.EACCES
    if status == 404:
        kind, number = FileNotFoundError, errno.ENOENT
    if _code(error) == "NoSuchBucket":  # no FileNotFoundError, which means that a store is still empty
        kind, number = NotADirectoryError, errno.ENOTDIR
    by_system = isinstance(error, OSError) and error.errno and not _responses(error)
    told = describe(error)
    return kind(number, os.strerror(number) if by_system and ":" not in told else told, url)


def is_of_this_machine(error: OSError) -> bool:
    """Whether it is a disk of this machine that is full or refuses, rather than a store."""
    return error.errno in _OF_DISKS


def http_status(error: BaseException) -> int | None:
    """The HTTP status behind an exception of s3fs (botocore's is its cause), gcsfs or a hub."""
    # not its cause's `code`: aiohttp gives 400 to an answer that was cut short
    status: Any = getattr(error, "code", None) or getattr(
        getattr(error, "response", None), "status_code", None
    )
    for response in _responses(error):
        status = response.get("ResponseMetadata", {}).get("HTTPStatusCode") or status
    return int(status) if str(status).isdigit() else None


def is_transient(error: Exception) -> bool:
    """Whether the same request may succeed a little later."""
    if (status := http_status(error)) is not None:
        worth = status in (408, 409, 429) or (status >= 500 and status not in _NOT_IMPLEMENTED)
        return worth or _code(error) in _WORTH_A_TRY
    if isinstance(error, tuple(_KINDS)):
        return False
    if type(error).__name__ in _BEFORE_THE_REQUEST or getattr(error, "retryable", None) is False:
        return False
    if isinstance(error, OSError):  # timeouts and lost connections are OSErrors too
        return error.errno not in _PERMANENT
    return is_of_storage(error)


def is_of_storage(error: Exception) -> bool:
    return isinstance(error, OSError) or type(error).__module__.partition(".")[0] in _CLIENT_LIBRARIES


def _code(error: BaseException) -> str | None:
    """S3's error code, such as AccessDenied; None unless it is a single word."""
    codes = [str(response.get("Error", {}).get("Code")) for response in _responses(error)]
    return next((code for code in codes if code.isalpha()), None)


def _responses(error: BaseException) -> list[dict[str, Any]]:
    responses = (getattr(candidate, "response", None) for candidate in (error, error.__cause__))
    return [response for response in responses if isinstance(response, dict)]
