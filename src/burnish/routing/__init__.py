"""Which model answers a prompt."""

from burnish.routing.gate import OnTaskGate, fit_gate, load_gate

__all__ = ["OnTaskGate", "fit_gate", "load_gate"]
