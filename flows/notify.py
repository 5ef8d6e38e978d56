"""The end of a run becomes a message to people, by one of Prefect's notification blocks, if `ABCD_NOTIFY` names one.

`ABCD_NOTIFY` may be `https://...` (a webhook: JSON is posted), `block:TYPE/NAME` (a notification block saved in
Prefect, as `block:slack-webhook/team`), or any URL that Apprise knows: `slack://`, `mailtos://`, `json://` and others
(https://github.com/caronc/apprise/wiki). It may hold a secret, so nothing here logs it, whole or in part.
"""

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from httpx import Response
from prefect.blocks.abstract import NotificationBlock, NotificationError
from prefect.blocks.core import Block
from prefect.blocks.notifications import AbstractAppriseNotificationBlock, AppriseNotificationBlock
from prefect.blocks.webhook import Webhook
from prefect.utilities.asyncutils import run_coro_as_sync
from pydantic import SecretStr

from flows.outcome import State
from flows.reports import REPORT_FILE
from flows.summary import Summary
from infra.settings import Settings

logger = logging.getLogger(__name__)

Kind = Literal["info", "success", "warning", "failure"]

_SAVED = "block:"
_NEWS: tuple[State, ...] = ("promoted", "ask", "refused", "kept", "drifted", "failed")
_KINDS: dict[State, Kind] = {
    "promoted": "success",
    "failed": "failure",
    "refused": "warning",
    "ask": "warning",
    "drifted": "warning",
}
_SHORTEST_SECRET = 4


class NotifyError(RuntimeError):
    """A message could not be sent, or `ABCD_NOTIFY` names nothing that can be used; no secret is in the message."""


class Notification(AppriseNotificationBlock):
    """Any URL that Apprise knows."""

    _block_type_name = "ABCD notification"


def send(summary: Summary, settings: Settings) -> None:
    """Tell of a run that ended, if it is news; a message that cannot be sent is a warning."""
    if not settings.notify.get_secret_value() or not (summary.outcome.state in _NEWS or settings.notify_always):
        return
    try:
        kind = _KINDS.get(summary.outcome.state, "info")
        deliver(settings.notify, subject=subject(summary), body=body(summary), kind=kind, facts=facts(summary))
    except NotifyError as error:
        logger.warning("nobody was notified: %s; see ABCD_NOTIFY, and `abcd doctor`", error)
    else:
        logger.info("notified by %s", _scheme(settings.notify))


def deliver(url: SecretStr, *, subject: str, body: str, kind: Kind, facts: dict[str, str]) -> None:
    """Send one message.

    Args:
        url: the setting.
        subject: one line.
        body: of the message.
        kind: of news, which some services show as a colour.
        facts: for programs, where the service takes JSON.

    Raises:
        NotifyError: it was not taken.
    """
    try:
        with _apprise_unheard():
            _send(block_of(url), subject=subject, body=body, kind=kind, facts=facts)
    except NotifyError:
        raise
    except NotificationError as error:
        raise NotifyError(_without_secrets(f"not delivered: {error.log.strip()}", url)) from None
    except Exception as error:  # noqa: BLE001 - whatever a block raises, the run has ended as it has
        raise NotifyError(_without_secrets(f"{type(error).__name__}: {error}", url)) from None


def _send(block: Webhook | NotificationBlock, *, subject: str, body: str, kind: Kind, facts: dict[str, str]) -> None:
    if isinstance(block, Webhook):
        answer: Response | None = run_coro_as_sync(block.call(facts | {"subject": subject, "text": body}))
        if answer is None or not answer.is_success:
            raise NotifyError(f"the webhook answered {answer.status_code if answer else 'nothing'}")
        return
    if isinstance(block, AbstractAppriseNotificationBlock):
        block.notify_type = kind
    with block.raise_on_failure():
        # Without a running event loop, as here, it waits for the answer.
        block.notify(body, subject)  # type: ignore[unused-coroutine]


@contextmanager
def _apprise_unheard() -> Iterator[None]:
    """Keep Apprise's log, which quotes URLs, from all but the block that listens to it."""
    log, nobody = logging.getLogger("apprise"), logging.NullHandler()
    propagates, log.propagate = log.propagate, False
    log.addHandler(nobody)
    try:
        yield
    finally:
        log.removeHandler(nobody)
        log.propagate = propagates


def block_of(url: SecretStr) -> Webhook | NotificationBlock:
    """The block that a setting names.

    Raises:
        NotifyError: it names none.
    """
    kind, said = kind_of(url), url.get_secret_value()
    if kind == "a webhook":
        return Webhook(url=url)
    if not said.startswith(_SAVED):
        return Notification(url=url)
    block = Block.load(said.removeprefix(_SAVED))
    if not isinstance(block, Webhook | NotificationBlock):
        raise NotifyError(f"expected a webhook or notification block, found {type(block).__name__}")
    return block


def kind_of(url: SecretStr) -> str:
    """What a setting names, in words without its secret; nothing is sent or loaded.

    Raises:
        NotifyError: nothing that can be used.
    """
    # Here, because it takes a third of a second to import.
    from apprise import Apprise

    said = url.get_secret_value()
    if said.startswith(_SAVED):
        return "a block saved in Prefect"
    # A webhook of Slack, Teams, Discord and others is known by its https URL; any other one gets JSON.
    with _apprise_unheard():
        service = Apprise.instantiate(said, suppress_exceptions=True)
    if service:
        return f"{service.service_name}"
    if said.startswith(("http://", "https://")):
        return "a webhook"
    raise NotifyError(f"expected https://..., block:TYPE/NAME or a URL that Apprise knows, found {_scheme(url)}")


def subject(summary: Summary) -> str:
    """One line."""
    return f"{summary.outcome.badge}: {summary.outcome.headline}"


def body(summary: Summary) -> str:
    """Why, what to type next, where the report is; no text of documents but what the reasons quote."""
    lines = [*summary.outcome.reasons, *summary.outcome.helps]
    lines += [f"{command.text}  ({command.does})" for command in summary.outcome.next[:1]]
    return "\n".join([*lines, f"Report: {summary.folder / REPORT_FILE}"])


def facts(summary: Summary) -> dict[str, str]:
    """For programs that read a webhook."""
    return {
        "state": summary.outcome.state,
        "flow": summary.flow,
        "run": summary.run,
        "flow_run_id": summary.run_id,
        "model": summary.asked.name,
        "release": summary.release,
        "bits_per_byte": "" if summary.bits_per_byte is None else f"{summary.bits_per_byte:.6f}",
    }


def _scheme(url: SecretStr) -> str:
    scheme, mark, _ = url.get_secret_value().partition(":")
    return f"{scheme}:" if mark else "a text without a scheme"


def _without_secrets(text: str, url: SecretStr) -> str:
    """Text in which no part of the URL is left, but for its scheme; the name of a saved block is no secret."""
    if url.get_secret_value().startswith(_SAVED):
        return text
    _, _, rest = url.get_secret_value().partition(":")
    parts = {part for part in re.split(r"[/:@?&=#]+", rest) if len(part) >= _SHORTEST_SECRET}
    for part in sorted(parts, key=len, reverse=True):
        text = text.replace(part, "***")
    return text
