"""Finds the functions in C++ text that clang-format has laid out. No parser: it counts braces."""

import dataclasses
import re

from .source_tree import without_noise


@dataclasses.dataclass
class Function:
    name: str
    first_line: int
    lines: int


# What opens a scope in which functions are defined.
SCOPE = re.compile(r"\b(namespace|class|struct|union|extern)\b")
ENUM = re.compile(r"\benum\b")
OPERATOR = re.compile(r"\boperator\s*(\(\)|\[\]|[^\s\w(]+)")
NAME = re.compile(r"([~\w:<>]+)\s*\(")


def functions_of(text):
    """Every function with a body, from the first line of its head to its closing brace."""
    text = blank_directives(without_noise(text))
    found = []
    # Of each open brace: "scope", "other", or the Function that it is the body of.
    open_braces = []
    head_start = 0
    for position, char in enumerate(text):
        inside_function = any(kind != "scope" for kind in open_braces)
        if char == "{":
            kind = "other" if inside_function else kind_of(text[head_start:position])
            if kind == "function":
                kind = function_at(text, head_start, position)
            open_braces.append(kind)
        elif char == "}" and open_braces:
            kind = open_braces.pop()
            if isinstance(kind, Function):
                kind.lines = text.count("\n", 0, position) + 2 - kind.first_line
                found.append(kind)
            if kind == "other":
                continue  # an initialiser: the head of its declaration goes on
        elif char != ";" or inside_function:
            continue
        if not any(kind != "scope" for kind in open_braces):
            head_start = position + 1
    return found


def blank_directives(text):
    """Preprocessor lines, with their continuations."""
    return re.sub(r"(?m)^[ \t]*#(?:[^\n]*\\\n)*[^\n]*", lambda m: re.sub(r"[^\n]", " ", m.group()),
                  text)


def kind_of(head):
    """What a brace opens at namespace or class level, by the text before it."""
    plain = OPERATOR.sub("operator", head)
    outside = without_parentheses(plain)
    if "=" in outside or ENUM.search(outside):
        return "other"
    # A body's brace stands after a blank; "a_{1}" in a constructor's list does not.
    if head and not head[-1].isspace():
        return "other"
    if "(" in plain:
        return "function"
    return "scope" if SCOPE.search(outside) else "other"


def without_parentheses(text):
    depth = 0
    kept = []
    for char in text:
        depth += (char == "(") - (char == ")")
        if depth == 0 and char != ")":
            kept.append(char)
    return re.sub(r"<[^<>]*>", "", "".join(kept))


def function_at(text, head_start, brace):
    head = text[head_start:brace]
    start = head_start + len(head) - len(head.lstrip())
    head = re.sub(r"^\s*(public|private|protected):", "", head)
    name = NAME.search(OPERATOR.sub("operator", head))
    return Function(name[1] if name else "function", text.count("\n", 0, start) + 1, 0)
