"""What a step leaves out because the gradient does not need it; each can be switched off, to measure its worth."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Savings:
    """None changes the result but for rounding."""

    supervised_logits: bool = True
    """Logits only where a supervised token is predicted."""
    chunked_loss: bool = True
    """The logits through a frozen head a chunk at a time, never all at once."""
    drop_tail: bool = True
    """Tokens behind the last one that predicts a supervised token are not fed."""
    packing: bool = True
    """Examples one behind the other in one row, without padding."""
    shared_prefix: bool = True
    """What examples of a pack begin with in common is computed once."""
    prefix_once: bool = True
    """And once a step, where its examples need several packs."""


ALL_SAVINGS = Savings()
