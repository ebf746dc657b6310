"""The table of the console's pages has every page that there is."""

from __future__ import annotations

from tests.support.console_pages import PAGES, routes


def test_every_route_of_the_console_is_in_the_table_that_browser_tests_go_through() -> None:
    assert routes() == set(PAGES)
