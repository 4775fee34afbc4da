"""Arithmetic over the scores of graders and nothing else: no names but theirs, no attributes, a few functions."""

import ast
import math
import operator
from collections.abc import Callable, Mapping

MAX_CHARACTERS = 2_000
MAX_DEPTH = 50

_OPERATORS: dict[type[ast.AST], Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: lambda base, exponent: math.pow(base, exponent),  # of floats: no power takes for ever
}
_SIGNS: dict[type[ast.AST], Callable[[float], float]] = {ast.UAdd: operator.pos, ast.USub: operator.neg}
_FUNCTIONS: dict[str, Callable[..., float]] = {
    "min": min,
    "max": max,
    "abs": abs,
    "floor": lambda x: float(math.floor(x)),
    "ceil": lambda x: float(math.ceil(x)),
    "exp": math.exp,
    "sqrt": math.sqrt,
    "log": math.log,
}


class FormulaError(Exception):
    """The formula is none, or has no finite value."""


class UnknownName(Exception):  # noqa: N818  (told in the reply)
    """The formula names a grader that there is not."""


def evaluate_formula(text: str, scores: Mapping[str, float]) -> float:
    """The value of `text` where each grader's name stands for its score. `^` is a power, as in `**`.

    Raises:
        FormulaError: it cannot be read, or has no finite value.
        UnknownName: a name in it is no grader's.
    """
    if len(text) > MAX_CHARACTERS:
        raise FormulaError(f"it has more than {MAX_CHARACTERS} characters")
    try:
        # ^ binds more weakly than + in Python, and as a power in formulas.
        tree = ast.parse(text.strip().replace("^", "**"), mode="eval")
        value = _value(tree.body, scores, 0)
    except (SyntaxError, ValueError, ArithmeticError, RecursionError, MemoryError, TypeError) as error:
        raise FormulaError(str(error)) from None
    if not math.isfinite(value):
        raise FormulaError("its value is not finite")
    return value


def _value(node: ast.AST, scores: Mapping[str, float], depth: int) -> float:
    if depth > MAX_DEPTH:
        raise FormulaError("it is nested too deeply")
    if isinstance(node, ast.Constant) and type(node.value) in (int, float):
        return float(node.value)  # type: ignore[arg-type]
    if isinstance(node, ast.Name):
        if node.id not in scores:
            raise UnknownName(node.id)
        return scores[node.id]
    if isinstance(node, ast.BinOp) and type(node.op) in _OPERATORS:
        left, right = _value(node.left, scores, depth + 1), _value(node.right, scores, depth + 1)
        return _OPERATORS[type(node.op)](left, right)
    if isinstance(node, ast.UnaryOp) and type(node.op) in _SIGNS:
        return _SIGNS[type(node.op)](_value(node.operand, scores, depth + 1))
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and not node.keywords:
        if node.func.id not in _FUNCTIONS:
            raise FormulaError(f"there is no function {node.func.id}")
        return float(_FUNCTIONS[node.func.id](*(_value(each, scores, depth + 1) for each in node.args)))
    raise FormulaError(f"{type(node).__name__} is no arithmetic")
