"""Passwords, keys and tokens, by the forms that their issuers give them."""

import re
from collections.abc import Iterator
from functools import cache

Place = tuple[int, int]

_PRIVATE_KEY = re.compile(
    r"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----(?:.*?-----END [A-Z0-9 ]*-----|[\w+/=\\\s:,-]*)", re.DOTALL
)
# Forms that are newer than detect-secrets knows.
_NEWER = re.compile(
    r"\bsk-(?:proj|svcacct|admin)-[\w-]{40,}|\bsk-ant-[\w-]{32,}|\bAIza[\w-]{35}(?![\w-])|\bhf_[A-Za-z]{34}\b|"
    r"\bgithub_pat_\w{60,}|\b[rs]k_(?:live|test)_[0-9A-Za-z]{24,}|\bnpm_[0-9A-Za-z]{36}\b"
)
_ANNOUNCED = re.compile(
    r"\b(?:api[ _-]?key|access[ _-]?key|secret(?:[ _-]?key)?|auth[ _-]?token|token|password|passwd|pwd|passphrase)"
    r"[\"']?\s{0,2}(?:is|was|=>?|:)\s{0,2}[\"']?([^\s\"'<>{}\[\]]{8,128})",
    re.IGNORECASE,
)
MIN_BITS_PER_CHARACTER = 2.75
# What is shorter, and neither a private key nor part of an address, is found by its announcement only.
_LONG_RUN = re.compile(r"[\w./+=:-]{20}|://")


def find_secrets(text: str) -> Iterator[Place]:
    """Private keys, tokens of known issuers, passwords in addresses, and what is announced as a password or key."""
    for match in _PRIVATE_KEY.finditer(text):
        yield match.span()
    if _LONG_RUN.search(text):
        yield from _find_tokens(text)
    for match in _ANNOUNCED.finditer(text):
        value = match[1].rstrip(".,;:!?)")
        if _looks_random(value):
            yield match.start(1), match.start(1) + len(value)


def _find_tokens(text: str) -> Iterator[Place]:
    from detect_secrets.plugins.jwt import JwtTokenDetector

    for pattern, group in _token_patterns():
        for match in pattern.finditer(text):
            yield match.span(group)
    for pattern in JwtTokenDetector.denylist:
        for match in re.finditer(pattern.pattern + r"(?![\w-])", text):
            if JwtTokenDetector.is_formally_valid(match[0]):
                yield match.span()


@cache
def _token_patterns() -> list[tuple[re.Pattern[str], int]]:
    """The patterns of detect-secrets that are sure by themselves, each with the group that holds the secret.

    Only the patterns: its `analyze_line` asks the issuers over the network whether a key works.
    """
    from detect_secrets.plugins import (
        aws,
        azure_storage_key,
        basic_auth,
        discord,
        github_token,
        gitlab_token,
        mailchimp,
        openai,
        pypi_token,
        sendgrid,
        slack,
        square_oauth,
        stripe,
        telegram_token,
        twilio,
    )

    whole = (
        azure_storage_key.AzureStorageKeyDetector,
        discord.DiscordBotTokenDetector,
        github_token.GitHubTokenDetector,
        gitlab_token.GitLabTokenDetector,
        mailchimp.MailchimpDetector,
        openai.OpenAIDetector,
        pypi_token.PypiTokenDetector,
        sendgrid.SendGridDetector,
        slack.SlackDetector,
        square_oauth.SquareOAuthDetector,
        stripe.StripeDetector,
        telegram_token.TelegramBotTokenDetector,
        twilio.TwilioKeyDetector,
    )
    key_id, key = aws.AWSKeyDetector.denylist
    parts = [(pattern, 1) for pattern in (key, *basic_auth.BasicAuthDetector.denylist)]
    return [(_NEWER, 0), (key_id, 0), *parts, *((pattern, 0) for each in whole for pattern in each.denylist)]


def _looks_random(value: str) -> bool:
    """Letters and digits mixed, without much repetition: a password or key, not a word or a placeholder."""
    from detect_secrets.plugins.high_entropy_strings import Base64HighEntropyString

    is_mixed = any(c.isdigit() for c in value) and any(c.isalpha() for c in value)
    return is_mixed and Base64HighEntropyString().calculate_shannon_entropy(value) >= MIN_BITS_PER_CHARACTER
