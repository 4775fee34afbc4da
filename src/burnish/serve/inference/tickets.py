"""Several requests to the engine that belong to one reply."""

import asyncio
from collections.abc import AsyncIterator, Sequence

from burnish.serve.engine.request import AnswersRequests, GenerationRequest, LabelRequest, Piece, Ticket


def submit_all(engine: AnswersRequests, requests: Sequence[GenerationRequest | LabelRequest]) -> tuple[Ticket, ...]:
    """All of them in line, or none.

    Raises:
        EngineBusy: too many wait already.
    """
    tickets = list[Ticket]()
    try:
        for request in requests:
            tickets.append(engine.submit(request))
    except BaseException:
        cancel_all(tickets)
        raise
    return tuple(tickets)


def cancel_all(tickets: Sequence[Ticket]) -> None:
    """Nobody waits for them any more."""
    for ticket in tickets:
        ticket.cancel()


async def read_together(tickets: Sequence[Ticket]) -> AsyncIterator[tuple[int, Piece]]:
    """Every piece as it comes, with the number of its ticket; the first fault is raised and cancels all."""
    queue: asyncio.Queue[tuple[int, Piece | Exception]] = asyncio.Queue()

    async def read(number: int, ticket: Ticket) -> None:
        try:
            async for piece in ticket.pieces():
                queue.put_nowait((number, piece))
        except Exception as error:  # told to whoever reads the queue
            queue.put_nowait((number, error))

    readers = [asyncio.create_task(read(number, ticket)) for number, ticket in enumerate(tickets)]
    try:
        num_open = len(tickets)
        while num_open:
            number, piece = await queue.get()
            if isinstance(piece, Exception):
                raise piece
            num_open -= piece.finish is not None
            yield number, piece
    finally:
        for reader in readers:
            reader.cancel()
        cancel_all(tickets)
