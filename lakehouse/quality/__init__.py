"""Rules for rows and tables, the quarantine, and the gate. The only place that imports Great Expectations."""

from lakehouse.quality.check import check, judge
from lakehouse.quality.config import load_rules
from lakehouse.quality.quarantine import split_rows
from lakehouse.quality.report import QualityReport, RuleResult
from lakehouse.quality.rules import RowRule

__all__ = ["QualityReport", "RowRule", "RuleResult", "check", "judge", "load_rules", "split_rows"]
