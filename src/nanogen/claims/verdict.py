"""Combine findings into verdicts: a claim holds, fails, or cannot be decided."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from nanogen.claims.checks import KINDS, Finding
from nanogen.claims.numbers import Numbers
from nanogen.claims.schema import Check, Claim
from nanogen.report.columns import VERDICTS


@dataclass(frozen=True)
class ClaimResult:
    """A claim with its findings, in order.

    ``so`` is whether the claim holds; None if that cannot be decided.
    """

    name: str
    claim: Claim
    so: bool | None
    findings: tuple[Finding, ...]

    @property
    def verdict(self) -> str:
        return VERDICTS[self.so]

    @property
    def numbers(self) -> str:
        """Describe every comparison with its numbers."""
        return "; ".join(finding.text for finding in self.findings)


def every(told: Sequence[bool | None]) -> bool | None:
    """Return False if any is false, True if all are true, and None otherwise or if there are none."""
    if False in told:
        return False
    return True if told and None not in told else None


def most(told: Sequence[bool | None]) -> bool | None:
    """Return whether more than half are true; None if that depends on undecided ones."""
    yes, no = told.count(True), told.count(False)
    if 2 * yes > len(told):
        return True
    return False if told and 2 * no >= len(told) else None


def _check(check: Check, numbers: Numbers) -> tuple[bool | None, list[Finding]]:
    findings = list(KINDS[check.kind](check, numbers))
    told = [finding.so for finding in findings]
    return (most if getattr(check, "of", "every") == "most" else every)(told), findings


def judge(numbers: Numbers) -> list[ClaimResult]:
    """Judge every claim of the file, in its order."""
    judged = []
    for name, claim in numbers.claims.claims.items():
        checked = [_check(check, numbers) for check in claim.checks]
        findings = tuple(finding for _, found in checked for finding in found)
        judged.append(ClaimResult(name, claim, every([so for so, _ in checked]), findings))
    return judged
