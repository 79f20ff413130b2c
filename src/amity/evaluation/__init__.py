"""Lists and truth to numbers: metrics with intervals, baselines in the same harness, comparisons, the report."""

from amity.evaluation.blending import fit_blend
from amity.evaluation.comparison import compare, per_query_table, read_per_query, write_per_query
from amity.evaluation.confidence import fit_confidence
from amity.evaluation.damage import DamageConfig
from amity.evaluation.evaluate import Evaluation, EvaluationConfig, evaluate, evaluate_baselines
from amity.evaluation.in_cluster import judge_clusters
from amity.evaluation.page import render_page
from amity.evaluation.report import comparison_table, make_report, results_table, robustness_table, write_report
from amity.evaluation.robustness import summarize_robustness
from amity.evaluation.robustness_page import render_robustness
from amity.evaluation.steering import steer
from amity.evaluation.transfer import negative_transfer

__all__ = [
    "DamageConfig",
    "Evaluation",
    "EvaluationConfig",
    "compare",
    "comparison_table",
    "evaluate",
    "evaluate_baselines",
    "fit_blend",
    "fit_confidence",
    "judge_clusters",
    "make_report",
    "negative_transfer",
    "per_query_table",
    "read_per_query",
    "render_page",
    "render_robustness",
    "results_table",
    "robustness_table",
    "steer",
    "summarize_robustness",
    "write_per_query",
    "write_report",
]
