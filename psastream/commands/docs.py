"""What the documentation says, without a browser and without a checkout."""

from __future__ import annotations

from typing import Annotated

import typer

from psastream.exits import errors_as_exit_codes


def docs(
    page: Annotated[
        str | None, typer.Argument(help="page, or alert; without, all are listed")
    ] = None,
) -> None:
    """Print a page of the documentation."""
    from psastream.pages import print_page, print_pages

    with errors_as_exit_codes():
        if page is None:
            print_pages()
        else:
            print_page(page)


def explain(
    code: Annotated[
        str, typer.Argument(help="of an error (transient.broker_unavailable), or an alert's name")
    ],
) -> None:
    """Print what an error's code, an exception's or an alert says, and which pages have more."""
    from psastream.pages import print_explanation

    with errors_as_exit_codes():
        print_explanation(code)
