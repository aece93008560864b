"""Keyset pagination: queries that sort and filter lists, and the pages that they return."""

from app.core.pagination.filters import Filter, NotAFilter, contains, one_of, starts_with
from app.core.pagination.pages import Page, PageQuery, PageQueryDep, PageResult

# Alias for modules rendered before 0.3.0; remove in 0.5.0.
Slice = PageResult

__all__ = [
    "Filter",
    "NotAFilter",
    "Page",
    "PageQuery",
    "PageQueryDep",
    "PageResult",
    "Slice",
    "contains",
    "one_of",
    "starts_with",
]
