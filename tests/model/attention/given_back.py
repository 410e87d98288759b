"""Rows as they are once pages that a sliding window has passed are given back."""

from dataclasses import replace


def without_passed(cache, rows):
    passed = [cache.window.passed(row.cached) for row in rows]
    return [replace(row, pages=row.pages[n:], passed=n) for row, n in zip(rows, passed, strict=True)]
