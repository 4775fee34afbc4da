"""The prompts of a data file -> the answers of any OpenAI-compatible endpoint, kept line by line."""

from burnish.recording.cost import Cost, Prices, estimate_cost, spell_money
from burnish.recording.endpoint import Endpoint, Patience
from burnish.recording.questions import Question, read_questions
from burnish.recording.record import Recording, missing_questions, record_answers

__all__ = [
    "Cost",
    "Endpoint",
    "Patience",
    "Prices",
    "Question",
    "Recording",
    "estimate_cost",
    "missing_questions",
    "read_questions",
    "record_answers",
    "spell_money",
]
