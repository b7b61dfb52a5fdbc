"""Refusals of the registry, with the status and error code Confluent's clients act on.

Not every failure is listed here: an unreachable broker stays a `BrokerUnavailableError`, which the
HTTP interface answers with 500. The wording of refusals is Confluent's, since tools print it.
"""

from typing import ClassVar

from schemas.errors import RecordError


class RequestRefusedError(RecordError):
    """The request cannot be fulfilled: answered with `status` and `error_code`, never retried."""

    code: ClassVar[str] = "record.registry_request"

    def __init__(self, status: int, error_code: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.error_code = error_code


def subject_not_found(subject: str) -> RequestRefusedError:
    """The subject has no live version."""
    return RequestRefusedError(404, 40401, f"Subject '{subject}' not found.")


def version_not_found(version: int | str) -> RequestRefusedError:
    """The subject exists, this version of it does not."""
    return RequestRefusedError(404, 40402, f"Version {version} not found.")


def schema_not_found(schema_id: int | None = None) -> RequestRefusedError:
    """No schema has this id, or the one looked up is not registered."""
    which = "Schema" if schema_id is None else f"Schema {schema_id}"
    return RequestRefusedError(404, 40403, f"{which} not found")


def subject_already_deleted(subject: str) -> RequestRefusedError:
    """All versions of the subject were deleted before."""
    return RequestRefusedError(404, 40404, f"Subject '{subject}' was soft deleted.")


def version_already_deleted(subject: str, version: int) -> RequestRefusedError:
    """This version was deleted before."""
    return RequestRefusedError(
        404,
        40406,
        f"Subject '{subject}' Version {version} was soft deleted.",
    )


def subject_level_not_found(subject: str) -> RequestRefusedError:
    """The subject follows the global compatibility level."""
    return RequestRefusedError(
        404, 40408, f"Subject '{subject}' does not have subject-level compatibility configured"
    )


def incompatible(subject: str, problems: list[str]) -> RequestRefusedError:
    """The schema breaks the subject's compatibility level. Upholds I9."""
    return RequestRefusedError(
        409,
        409,
        "Schema being registered is incompatible with an earlier schema for subject "
        f'"{subject}", details: [{"; ".join(problems)}]',
    )


def invalid_schema(reason: str) -> RequestRefusedError:
    """The text is not a usable Avro schema."""
    return RequestRefusedError(422, 42201, f"Invalid schema: {reason}")


def invalid_version(version: str) -> RequestRefusedError:
    """A version is a number from 1, or 'latest'."""
    return RequestRefusedError(
        422,
        42202,
        f"The specified version '{version}' is not a valid version id. Allowed values are between "
        '[1, 2^31-1] and the string "latest"',
    )


def invalid_level(level: str) -> RequestRefusedError:
    """Not one of Confluent's compatibility levels."""
    return RequestRefusedError(
        422,
        42203,
        f"Invalid compatibility level '{level}'. Valid values are none, backward, forward, full, "
        "backward_transitive, forward_transitive, and full_transitive",
    )


def not_permitted(reason: str) -> RequestRefusedError:
    """A part of Confluent's interface this registry does not offer."""
    return RequestRefusedError(422, 42205, f"Operation not permitted: {reason}")
