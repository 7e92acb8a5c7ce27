"""Kubernetes' rules for names, labels and keys.

Each function returns what is wrong with a value as the sentences an API server uses, or nothing.
"""

import re
from typing import Final

__all__ = [
    "config_key_problems",
    "dns_label_problems",
    "dns_subdomain_problems",
    "env_name_problems",
    "label_value_problems",
    "port_name_problems",
    "qualified_name_problems",
    "service_name_problems",
]

_LABEL: Final = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN: Final = rf"{_LABEL}(\.{_LABEL})*"
_DNS_1035: Final = "[a-z]([-a-z0-9]*[a-z0-9])?"
_QUALIFIED: Final = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
_CONFIG_KEY: Final = "[-._a-zA-Z0-9]+"


def _explain(message: str, pattern: str, *examples: str) -> str:
    """Complete a sentence with examples and the pattern, spaced exactly as Kubernetes does."""
    shown = " or ".join(f"'{example}', " for example in examples)
    return f"{message} (e.g. {shown}regex used for validation is '{pattern}')"


def _matches(pattern: str, value: str) -> bool:
    return re.fullmatch(pattern, value, re.ASCII) is not None


def dns_label_problems(value: str) -> list[str]:
    """Check a name that becomes one part of a host name: namespaces, containers, volumes."""
    problems = ["must be no more than 63 characters"] if len(value) > 63 else []
    if _matches(_LABEL, value):
        return problems
    if _matches(_SUBDOMAIN, value):
        return [*problems, "must not contain dots"]
    message = (
        "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', "
        "and must start and end with an alphanumeric character"
    )
    return [*problems, _explain(message, _LABEL, "my-name", "123-abc")]


def dns_subdomain_problems(value: str) -> list[str]:
    """Check an ordinary object name."""
    problems = ["must be no more than 253 characters"] if len(value) > 253 else []
    if not _matches(_SUBDOMAIN, value):
        message = (
            "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, "
            "'-' or '.', and must start and end with an alphanumeric character"
        )
        problems.append(_explain(message, _SUBDOMAIN, "example.com"))
    return problems


def service_name_problems(value: str) -> list[str]:
    """Check the name of a Service, which may not begin with a digit."""
    problems = ["must be no more than 63 characters"] if len(value) > 63 else []
    if not _matches(_DNS_1035, value):
        message = (
            "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start "
            "with an alphabetic character, and end with an alphanumeric character"
        )
        problems.append(_explain(message, _DNS_1035, "my-name", "abc-123"))
    return problems


def qualified_name_problems(value: str) -> list[str]:
    """Check a label key, annotation key, taint key, finalizer or resource name."""
    message = (
        "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with "
        "an alphanumeric character"
    )
    rule = _explain(message, _QUALIFIED, "MyName", "my.name", "123-abc")
    prefix, slash, name = value.rpartition("/")
    if "/" in prefix:
        tail = " with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"
        return [f"a valid label key {rule}{tail}"]
    problems = []
    if slash and not prefix:
        problems.append("prefix part must be non-empty")
    elif slash:
        problems += [f"prefix part {problem}" for problem in dns_subdomain_problems(prefix)]
    if not name:
        problems.append("name part must be non-empty")
    elif len(name) > 63:
        problems.append("name part must be no more than 63 bytes")
    if not _matches(_QUALIFIED, name):
        problems.append(f"name part {rule}")
    return problems


def label_value_problems(value: str) -> list[str]:
    """Check a label's value."""
    problems = ["must be no more than 63 bytes"] if len(value) > 63 else []
    pattern = f"({_QUALIFIED})?"
    if not _matches(pattern, value):
        message = (
            "a valid label must be an empty string or consist of alphanumeric characters, '-', "
            "'_' or '.', and must start and end with an alphanumeric character"
        )
        problems.append(_explain(message, pattern, "MyValue", "my_value", "12345"))
    return problems


def config_key_problems(value: str) -> list[str]:
    """Check a key of a ConfigMap or a Secret."""
    problems = ["must be no more than 253 characters"] if len(value) > 253 else []
    if not _matches(_CONFIG_KEY, value):
        message = "a valid config key must consist of alphanumeric characters, '-', '_' or '.'"
        problems.append(_explain(message, _CONFIG_KEY, "key.name", "KEY_NAME", "key-name"))
    if value in {".", ".."}:
        problems.append(f"must not be '{value}'")
    elif value.startswith(".."):
        problems.append("must not start with '..'")
    return problems


def env_name_problems(value: str) -> list[str]:
    """Check the name of an environment variable (relaxed since Kubernetes 1.34)."""
    problems = [] if value else ["environment variable name must be non-empty"]
    if any(char == "=" or not " " <= char <= "~" for char in value):
        problems.append(
            "a valid environment variable name must consist only of printable ASCII characters "
            "other than '='"
        )
    return problems


def port_name_problems(value: str) -> list[str]:
    """Check the name of a container's port (an IANA service name)."""
    problems = ["must be no more than 15 characters"] if len(value) > 15 else []
    if not _matches("[-a-z0-9]+", value):
        problems.append("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)")
    if not re.search("[a-z]", value):
        problems.append("must contain at least one letter (a-z)")
    if "--" in value:
        problems.append("must not contain consecutive hyphens")
    if value.startswith("-") or value.endswith("-"):
        problems.append("must not begin or end with a hyphen")
    return problems
