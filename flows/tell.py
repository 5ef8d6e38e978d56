"""The account of a run that ended reaches people: report.html, the first artifact in the UI, a notification.

None of it may fail the run: what cannot be told is a warning.
"""

import shutil
from pathlib import Path

from prefect.artifacts import create_markdown_artifact

from flows import overview, page, terminal
from flows.account import ID_FILE, Account
from flows.present import attempt
from flows.summary import Summary, summary_of
from infra.settings import Settings

SUMMARY_KEY = "summary"


def tell(account: Account, settings: Settings) -> None:
    """Write the report, show the summary, send the notification."""
    summary = attempt(_prepare, account, settings)
    if summary is None:
        return
    report = attempt(page.write, summary)
    if report:
        terminal.active().report(report)
    # The UI shows a run's own artifacts before those of its tasks, and this is its only one: the first that is seen.
    attempt(_show, summary)
    if settings.notify.get_secret_value():
        attempt(_notify, summary, settings)


def _prepare(account: Account, settings: Settings) -> Summary:
    account.folder.mkdir(parents=True, exist_ok=True)
    (account.folder / ID_FILE).write_text(account.run_id, encoding="utf-8")
    pages = {"data_docs": attempt(_keep_data_docs, account, settings), "data": attempt(_keep_data, account, settings)}
    return summary_of(account, settings).model_copy(update=pages)


def _keep_data_docs(account: Account, settings: Settings) -> Path | None:
    """Copy of the pages: those in `artifacts/` are the next run's soon, and are gone with a checkout."""
    if account.failed_step == "validate":
        source = settings.runs / "rejected" / "validate" / "data_docs"
    elif any(result.step == "validate" for result in account.steps):
        source = settings.artifacts / "validate" / "data_docs"
    else:
        return None
    if not (source / "index.html").is_file():
        return None
    kept = account.folder / "data_docs"
    shutil.copytree(source, kept, dirs_exist_ok=True)
    return kept / "index.html"


def _keep_data(account: Account, settings: Settings) -> Path | None:
    """Copy of the page on the training data, which links to the Data Docs beside it."""
    source = settings.artifacts / "describe" / "data.html"
    if not any(result.step == "describe" for result in account.steps) or not source.is_file():
        return None
    kept = account.folder / source.name
    shutil.copyfile(source, kept)
    return kept


def _notify(summary: Summary, settings: Settings) -> None:
    # Here, because Prefect's blocks take a third of a second to import.
    from flows import notify

    notify.send(summary, settings)


def _show(summary: Summary) -> None:
    create_markdown_artifact(overview.markdown(summary), key=SUMMARY_KEY, description=summary.outcome.headline)
