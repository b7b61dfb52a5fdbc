"""What the org itself does as time goes by."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sandbox.vendors.salesforce.org import OrgBooks
from sandbox.vendors.wire import ExactJSONResponse


def screens(books: OrgBooks) -> Sequence[Route]:
    """Deleted rows are forgotten, and which were deleted."""

    async def purge(request: Request) -> Response:
        return ExactJSONResponse({"purged": books.purge()})

    async def prune(request: Request) -> Response:
        books.prune_deletions()
        return Response(status_code=204)

    return (
        Route("/recycle-bin", purge, methods=["DELETE"]),
        Route("/deletion-log", prune, methods=["DELETE"]),
    )
