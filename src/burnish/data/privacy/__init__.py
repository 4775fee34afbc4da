"""Personal data and secrets: found in the rows, told without being repeated."""

from burnish.data.privacy.check import PRIVACY_CHECKS, check_privacy, find_private, mask
from burnish.data.privacy.span import PrivateKind, Span

__all__ = ["PRIVACY_CHECKS", "PrivateKind", "Span", "check_privacy", "find_private", "mask"]
