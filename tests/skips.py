"""What may be skipped: slow tests unless asked for; under ``--no-skips`` nothing for want of software."""

from __future__ import annotations

from collections.abc import Generator

import pytest

SLOW = "takes minutes; run with --slow"
ALLOWED = (SLOW, "no CUDA device")
REFUSED = "skipped under --no-skips: "


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--slow", action="store_true", help="run the tests that take minutes, too")
    parser.addoption(
        "--no-skips",
        action="store_true",
        help="fail every test that is skipped, unless it is slow or needs CUDA",
    )
    parser.addoption(
        "--allow-skip",
        action="append",
        default=[],
        metavar="WORD",
        help="with --no-skips: also allow skips whose reason has this word",
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--slow"):
        return
    for item in items:
        if "slow" in item.keywords:
            item.add_marker(pytest.mark.skip(reason=SLOW))


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    _refuse(report, item.config)
    return report


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    _refuse(report, collector.config)
    return report


def _refuse(report: pytest.TestReport | pytest.CollectReport, config: pytest.Config) -> None:
    """Turn a skip into a failure, which says why it was skipped."""
    if not (config.getoption("--no-skips") and report.skipped) or hasattr(report, "wasxfail"):
        return
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    if not any(word in reason for word in (*ALLOWED, *config.getoption("--allow-skip"))):
        report.outcome = "failed"
        report.longrepr = REFUSED + reason.removeprefix("Skipped: ")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """List what was refused with its reason; pytest's own summary names the tests alone."""
    reports = [r for kind in ("failed", "error") for r in terminalreporter.stats.get(kind, [])]
    refused = [r for r in reports if str(r.longrepr).startswith(REFUSED)]
    if refused:
        terminalreporter.section(f"{len(refused)} skipped under --no-skips")
    for report in refused:
        terminalreporter.write_line(f"{report.nodeid}: {str(report.longrepr).removeprefix(REFUSED)}")
