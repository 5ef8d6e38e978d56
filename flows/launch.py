"""`python -m flows.launch` is what a worker starts: refuses parameters that the flow lacks, then becomes Prefect.

The server refuses values that do not fit the form, but lets an unknown parameter through; Prefect itself then ends the
run as crashed, with the reason in a traceback only. Only the standard library: it costs every run its start.
"""

import base64
import difflib
import json
import os
import sys
import urllib.request
from typing import Any

_SECONDS = 10


def refusal(given: dict[str, Any], known: dict[str, Any]) -> str:
    """Why these parameters are refused; empty if they are not."""
    unknown = [name for name in given if name not in known]
    if not unknown:
        return ""
    close = [match for name in unknown for match in difflib.get_close_matches(name, list(known), n=1)]
    hint = f"did you mean {close[0]!r}? " if close else ""
    expected = ", ".join(known) or "none"
    return f"unknown parameter {', '.join(unknown)}; {hint}Expected: {expected}. Nothing was run"


def main() -> None:
    """Check, then go on as `python -m prefect.engine` in this same process."""
    try:
        is_refused = _refuse(os.environ["PREFECT__FLOW_RUN_ID"])
    except OSError as error:  # Prefect asks again, with retries, and refuses too
        sys.stderr.write(f"parameters not checked: {error}\n")
        is_refused = False
    if not is_refused:
        os.execv(sys.executable, [sys.executable, "-m", "prefect.engine"])


def _refuse(run_id: str) -> bool:
    run = _call(f"/flow_runs/{run_id}")
    schema = _call(f"/deployments/{run['deployment_id']}").get("parameter_openapi_schema") or {}
    reason = refusal(run["parameters"], schema.get("properties", {}))
    if reason:
        state = {"type": "FAILED", "name": "Refused", "message": reason}
        _call(f"/flow_runs/{run_id}/set_state", {"state": state, "force": True})
    return bool(reason)


def _call(path: str, body: dict[str, Any] | None = None) -> Any:
    request = urllib.request.Request(os.environ["PREFECT_API_URL"] + path)
    request.add_header("Content-Type", "application/json")
    if secret := os.environ.get("PREFECT_API_AUTH_STRING"):
        request.add_header("Authorization", f"Basic {base64.b64encode(secret.encode()).decode()}")
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(request, data, timeout=_SECONDS) as answer:
        return json.load(answer)


if __name__ == "__main__":
    main()
