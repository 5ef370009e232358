"""Nothing is skipped for want of software where `--no-skips` forbids it."""

from __future__ import annotations

import pytest

TESTS = """
    import pytest

    @pytest.mark.skipif(True, reason="no browser")
    def test_mark(): ...

    def test_import():
        pytest.importorskip("no_such_library")

    @pytest.fixture
    def broken():
        pytest.skip("chromium does not start: no sandbox")

    def test_fixture(broken): ...

    @pytest.mark.slow
    def test_slow(): ...

    def test_cuda():
        pytest.skip("no CUDA device")

    def test_timm():
        pytest.skip("could not import 'timm': No module named 'torchvision'")

    @pytest.mark.xfail
    def test_known():
        assert False

    def test_plain(): ...
"""
OPTIONS = ("-p", "tests.skips", "-p", "no:cacheprovider")


@pytest.fixture
def project(pytester: pytest.Pytester) -> pytest.Pytester:
    pytester.makeini("[pytest]\nmarkers = slow")
    pytester.makepyfile(TESTS)
    return pytester


def test_without_the_option_they_are_skipped(project: pytest.Pytester) -> None:
    project.runpytest(*OPTIONS).assert_outcomes(passed=1, skipped=6, xfailed=1)


def test_with_it_only_slow_ones_and_those_for_cuda_are(project: pytest.Pytester) -> None:
    found = project.runpytest(*OPTIONS, "--no-skips")
    # What is skipped before the test itself runs is an error to pytest.
    found.assert_outcomes(passed=1, skipped=2, xfailed=1, failed=2, errors=2)
    found.stdout.fnmatch_lines(
        ["*4 skipped under --no-skips*", "*::test_import: *no_such_library*", "*::test_timm: *torchvision*"]
    )
    found.stdout.fnmatch_lines(["*::test_mark: no browser", "*::test_fixture: *does not start: no sandbox"])


def test_a_word_allows_one_reason_more(project: pytest.Pytester) -> None:
    found = project.runpytest(*OPTIONS, "--no-skips", "--allow-skip", "torchvision")
    found.assert_outcomes(passed=1, skipped=3, xfailed=1, failed=1, errors=2)


def test_a_skipped_file_is_refused_too(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("import pytest; pytest.skip('nothing here', allow_module_level=True)")
    assert pytester.runpytest(*OPTIONS).ret == pytest.ExitCode.NO_TESTS_COLLECTED
    found = pytester.runpytest(*OPTIONS, "--no-skips")
    found.assert_outcomes(errors=1)
    found.stdout.fnmatch_lines(["*1 skipped under --no-skips*", "*: nothing here"])
