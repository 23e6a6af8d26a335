"""The values of a document as one JSON object."""

import json
import math
from collections.abc import Mapping

SCHEMA = 2


def write_json(command: str, values: Mapping[str, object]) -> str:
    """Returns values as a JSON object; what is infinite or unknown (NaN) in them is null.

    Args:
        command: what made them, such as "kl".
        values: plain values by name.
    """
    whole = _finite({"schema": SCHEMA, "command": command, **values})
    return json.dumps(whole, allow_nan=False, indent=2) + "\n"


def _finite(value: object) -> object:
    match value:
        case dict():
            return {str(k): _finite(v) for k, v in value.items()}
        case list() | tuple():
            return [_finite(v) for v in value]
        case float() if not math.isfinite(value):
            return None
        case _:
            return value
