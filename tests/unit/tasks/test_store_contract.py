"""What the store has to do, point by point, and the tests that show it. A point without its test fails here.

Names are `file::test` without `test_`; `backends::x` is the check `x` of the conformance suite. The tests of `moves`,
`writes`, `expiry`, `owners`, `listing`, `watch`, `races` and `leases` run on every backend, except where a store's own
checks come before any backend is asked.
"""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import pytest

from pmcp_lab.tasks.backends.conformance import CHECKS

HERE = Path(__file__).parents[1]

MOVES = ("protocol_status::moves_6_to_37", "store_moves::update_makes_the_eight_moves_and_refuses_the_other_seventeen")
PATHS = ("store_moves::complete_fail_cancel_and_ask_from_every_status", "store_moves::answer_from_every_status")
FOREIGN = ("store_owners::a_foreign_task_is_a_missing_one_and_costs_the_same",)
GONE = ("store_expiry::expired_is_gone_everywhere_at_once", "backends::lists_nothing_expired")
QUOTA = ("store_races::64_parallel_creates_never_exceed_the_quota", "backends::never_exceeds_the_quota")
PROCESSES = ("store_races::two_processes_keep_the_quota_and_every_variable",)
WRITERS = ("store_races::32_writers_lose_no_variable_and_two_ends_are_one", "backends::loses_no_variable")
REFUSED_VARIABLES = ("store_variables::variables_that_are_refused",)
DAMAGED = ("store_listing::a_damaged_record_hides_no_other",)
KILLS = ("sqlite::killed_writers_lose_nothing", "../stress/test_stress_redis::two_hundred_crashes_lose_nothing")

ERRORS = {
    "an invalid transition: -32602, names, what to do": MOVES,
    "not found, and no hint of an owner: -32602": FOREIGN,
    "expired is not found: -32602": GONE,
    "not ready: -32602, id, status": ("store_moves::only_a_completed_task_has_a_result",),
    "too big or not allowed variables: -32602, both counts": REFUSED_VARIABLES,
    "the quota: -32603, cancel or wait": ("store_owners::quota_counts_live_tasks_only",),
    "concurrent modification: -32603, both versions": ("store_races::a_race_that_is_never_won_ends",),
    "a store that can't be read or written: -32603": DAMAGED,
    "a ttl above the maximum: -32602": ("store_expiry::a_ttl_above_the_maximum_is_refused_not_clamped",),
    "anonymous access: -32603": ("store_owners::anonymous_owners_can_be_refused",),
    "an unknown cursor: -32602": ("store_listing::an_unknown_cursor_is_refused",),
}

BEHAVIOUR = {
    "terminal and the eight moves": ("protocol_status::terminal", "protocol_status::table_31_32", *MOVES, *PATHS),
    "a record is born working with a UUIDv4": ("protocol_status::new_record_38_to_40", "store_writes::a_new_task"),
    "variables are _meta on the wire": ("protocol_status::variables_on_the_wire_43_to_46",),
    "expired is after the moment": ("protocol_status::expiry_41_42", *GONE),
    "the reference's stored JSON is read": ("codec::a_pmcp_record_is_read",),
    "the reference's tables are taken over": ("pmcp_import::what_pmcp_stored_is_taken_over_once",),
    "every field is kept": ("codec::a_record_survives", "backends::keeps_every_field"),
    "ttl: default, explicit, 0, none, beyond the calendar": (
        "store_writes::a_new_task",
        "store_expiry::a_ttl_of_nothing_lasts_for_its_moment",
        "store_expiry::a_ttl_beyond_the_calendar_never_expires",
        "store_expiry::what_is_no_duration_is_refused",
    ),
    "the expiry can be moved": (
        "store_expiry::a_ttl_moves_forward_and_back_across_the_present",
        "store_expiry::a_shortened_ttl_takes_effect_at_once",
        "store_expiry::what_is_far_from_ending_is_watched_on",
    ),
    "update: status, message, progress, variables in one write": (
        "store_writes::one_write_changes_everything",
        "store_writes::progress_is_a_fraction",
        "store_writes::the_clock_may_go_backwards_but_updated_does_not",
        "store_moves::nothing_follows_an_end_but_variables_and_ttl",
    ),
    "variables: merge, delete, limits, in any state": (
        "store_variables::variables_at_the_limit_and_merging",
        "store_variables::any_json_is_merged_or_refused_whole",
        *REFUSED_VARIABLES,
    ),
    "typed reading, bool is not int": ("store_variables::typed_reading_never_raises",),
    "a status and its result come together": ("store_moves::any_json_is_a_result_null_included", *PATHS),
    "questions and answers": (
        "store_moves::questions_are_answered_one_by_one",
        "store_moves::an_end_with_open_questions_stays_an_end",
    ),
    "lists: newest first, ties, limits, the last page": ("store_listing::pages", "backends::lists_newest_first"),
    "cleanup": ("backends::purges_only_what_has_expired", "leases::the_reaper_deletes_what_expires"),
    "a reaper that sleeps": (
        "leases::the_reaper_sleeps_until_something_expires",
        "leases::the_reaper_outlives_trouble",
    ),
    "watching": (
        "store_watch::watch_sees_the_present_each_change_and_the_end",
        "store_watch::watch_of_a_finished_task_shows_it_once",
        "store_watch::watch_ends_when_the_task_is_deleted",
        "store_watch::an_empty_set_of_changes_means_look_at_everything",
        "store_expiry::watch_ends_with_the_task_when_it_expires",
        "backends::tells_who_watches",
    ),
    "watching across processes": (
        "sqlite::two_processes_on_one_file",
        "redis_backend::a_watcher_hears_of_other_clients",
        "dynamodb_backend::a_watcher_hears_of_other_clients",
        "redis_cluster::watchers_move_to_another_node",
    ),
    "leases": (
        "leases::a_task_has_one_runner",
        "leases::a_lost_task_is_found_and_taken",
        "leases::what_has_ended_needs_no_runner",
        "leases::an_expired_task_is_not_lost",
        "leases::heartbeats_are_not_shown_to_who_watches",
        "backends::lists_every_lease",
        "backends::lists_more_leases_than_fit_a_page",
    ),
    "limits are validated": ("limits::limits_are_checked", "limits::limits_are_durations"),
    "backends by URL, others by entry point": (
        "open_store::urls_that_open_nothing",
        "open_store::a_missing_extra_names_itself",
        "open_store::others_can_add_a_scheme",
    ),
    "Redis: one command each, idle none": (
        "redis_backend::every_operation_is_one_command",
        "redis_backend::waiting_costs_no_command",
    ),
    "Redis: indexes keep right when keys expire": (
        "redis_backend::redis_deletes_what_has_expired_and_the_indexes_with_the_last",
        "redis_backend::a_key_that_redis_dropped_is_forgotten_by_the_indexes",
    ),
    "Redis: a cluster": ("redis_cluster::conformance", "redis_cluster::owners_are_spread_over_all_nodes"),
    "Redis: a restart": (
        "redis_backend::a_restart_is_a_clear_error_and_then_nothing_is_lost",
        "redis_cluster::a_node_that_comes_back_is_used_again",
    ),
    "DynamoDB: the true state on conflict, no retry": (
        "dynamodb_backend::a_conflict_reports_what_is_there_without_another_request",
    ),
    "DynamoDB: template and helper make the same table": (
        "dynamodb_table::both_ways_to_make_the_table_make_the_same_one",
        "dynamodb_table::the_template_makes_the_same_table",
    ),
    "DynamoDB: any endpoint": ("dynamodb_table::the_tests_use_the_endpoint_that_is_named",),
    "random operations agree with a model": ("store_machine::store_machine",),
    "kills lose nothing": KILLS,
    "arbitrary bytes as a record": ("codec::any_bytes_are_a_record_or_a_store_error", *DAMAGED),
    "arbitrary JSON as variables": ("store_variables::any_json_is_merged_or_refused_whole",),
    "a thousand ids differ": ("store_writes::a_thousand_ids_differ",),
}

GAPS = {
    "3 a failed task keeps its error": ("store_moves::failed_keeps_its_error",),
    "5 input has a way in": ("store_moves::questions_are_answered_one_by_one",),
    "6 what a client writes is bounded": (
        "store_writes::what_is_too_big_is_refused_by_every_operation",
        "store_variables::a_client_writes_its_own_names_only",
    ),
    "8 created with its variables in one write": ("store_writes::a_new_task", *REFUSED_VARIABLES),
    "9 the poll interval is kept": ("store_writes::a_new_task",),
    "10 the quota has no race and loads nothing": (*QUOTA, *PROCESSES, "dynamodb_backend::requests_per_operation"),
    "11 lost races are run again, boundedly": (*WRITERS, *PROCESSES, "store_races::a_race_that_is_never_won_ends"),
    "12 a change is made to what is there": (
        "store_races::a_change_that_depends_on_what_is_there_is_made_to_what_is_there",
    ),
    "13 reads see writes; conflicts tell the truth": (
        "backends::compares_before_it_swaps",
        "store_races::what_this_store_wrote_last_is_never_believed_against_the_backend",
        "dynamodb_backend::a_conflict_reports_what_is_there_without_another_request",
    ),
    "14 a swap of what is not there is one thing": ("backends::compares_before_it_swaps",),
    "16 ended and expired tasks lock nobody out": (
        "backends::counts_what_is_live",
        "store_owners::quota_counts_live_tasks_only",
        "store_owners::two_hundred_finished_tasks_lock_nobody_out",
    ),
    "17 one kind of expiry": GONE,
    "18 cursors": (
        "store_listing::an_unknown_cursor_is_refused",
        "store_listing::a_cursor_outlives_its_task",
        "backends::lists_newest_first",
    ),
    "19 a page costs a page": (
        "sqlite::no_query_scans_or_sorts",
        "redis_backend::every_operation_is_one_command",
        "dynamodb_backend::pages_hold_across_requests",
    ),
    "20 owners of any characters": (
        "store_owners::owners_of_any_characters_never_meet",
        "store_owners::keys_of_owners_are_all_different",
        "backends::keeps_owners_apart",
        "dynamodb_backend::owners_of_any_length",
    ),
    "22 who is anonymous": (
        "store_owners::anonymous_owners_can_be_refused",
        "store_owners::the_best_identity_there_is_owns_the_task",
    ),
    "23 reserved names, key count and length": REFUSED_VARIABLES,
    "24 results are bounded; foreign and missing look alike": (
        "store_writes::what_is_too_big_is_refused_by_every_operation",
        "store_writes::what_is_not_json_is_refused_by_every_operation",
        *FOREIGN,
    ),
    "26 every error carries its own code": tuple(name for names in ERRORS.values() for name in names),
    "32 a null result is a result": (
        "store_moves::any_json_is_a_result_null_included",
        "codec::a_null_result_is_told_from_none",
    ),
}
"""By the number of the weakness in PMCP that it answers."""

POINTS = {**ERRORS, **BEHAVIOUR, **GAPS}


@cache
def names_in(file: str) -> frozenset[str]:
    if file == "backends":
        return frozenset(check.__name__ for check in CHECKS)
    path = HERE / f"{file}.py" if "/" in file else next(HERE.rglob(f"test_{file}.py"))
    found = (
        node for node in ast.parse(path.read_text()).body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    )
    return frozenset(node.name.removeprefix("test_") for node in found if node.name.startswith("test_"))


@pytest.mark.parametrize("point", POINTS)
def test_every_point_has_its_test(point: str) -> None:
    named = [name.rpartition("::") for name in POINTS[point]]
    assert named
    assert not [f"{file}::{test}" for file, _, test in named if test not in names_in(file)]


def test_every_conformance_check_is_run_and_named() -> None:
    named = {name for names in POINTS.values() for name in names}
    left = {"deletes", "finds_nothing_under_odd_ids", "ends_a_task_once"}
    assert {f"backends::{check.__name__}" for check in CHECKS if check.__name__ not in left} <= named
