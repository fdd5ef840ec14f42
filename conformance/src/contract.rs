//! The list of all cases with the clause of `docs/storage-contract.md` that each is about.

use futures::future::BoxFuture;

use crate::case;
use crate::context::Context;
use crate::verdict::CaseResult;

/// One case of the suite.
pub struct Case {
    /// Its group.
    pub group: &'static str,
    /// Its name, which no other case has.
    pub name: &'static str,
    /// The clause that it is about.
    pub clause: &'static str,
    pub(crate) run: for<'a> fn(&'a Context) -> BoxFuture<'a, CaseResult>,
}

impl Case {
    /// Whether its group or name contains a text, or the text is its clause.
    pub(crate) fn is_about(&self, text: &str) -> bool {
        self.group.contains(text) || self.name.contains(text) || self.clause == text
    }
}

/// Hands the list of cases to a macro, given as its path in brackets.
#[doc(hidden)]
#[macro_export]
macro_rules! for_each_case {
    ([$($then:tt)+] $($head:tt)*) => {
        $($then)+! {
            $($head)*
            @cases
            naming::every_character_and_length "SC-01",
            naming::reserved_names "SC-01",
            naming::neighbours_are_distinct "SC-02",
            naming::key_below_a_key_is_held_or_refused "SC-03",
            naming::foreign_names_are_not_listed "SC-04",
            read::put_get_roundtrip "SC-05",
            read::span_is_exact "SC-06",
            read::spans_in_parallel "SC-06",
            read::spans_across_parts "SC-06",
            read::span_outside_is_refused "SC-07",
            read::suffix_is_exact "SC-08",
            read::missing_is_not_found "SC-09",
            read::stat_matches_put "SC-10",
            body::many_pieces "SC-11",
            body::empty_and_one_byte "SC-12",
            body::sizes_around_block_limits "SC-12",
            body::large_object "SC-12",
            body::too_large_is_refused "SC-12",
            body::wrong_digest_leaves_nothing "SC-21",
            body::undeclared_digest_is_harmless "SC-21",
            body::right_digest_is_stored "SC-21",
            write::overwrite_replaces_the_whole "SC-13",
            write::create_of_existing_changes_nothing "SC-14",
            write::create_race_has_one_winner "SC-15",
            write::large_create_has_one_winner "SC-15",
            write::loser_of_a_race_finds_a_whole_object "SC-16",
            write::put_is_never_seen_half "SC-17",
            write::overwrite_shows_old_or_new "SC-17",
            write::failed_put_changes_nothing "SC-18",
            write::second_client_sees_put "SC-19",
            write::reopened_store_has_everything "SC-20",
            write::full_store_refuses_and_goes_on "SC-22",
            list::every_object_once "SC-23",
            list::only_under_the_prefix "SC-24",
            list::nothing_is_an_empty_listing "SC-25",
            list::kept_objects_stay_listed_during_changes "SC-26",
            list::listings_at_once_are_whole "SC-26",
            list::put_and_delete_show "SC-27",
            list::failure_is_not_the_end "SC-28",
            delete::deleted_is_gone "SC-29",
            delete::missing_is_success "SC-30",
            delete::racing_deletes_all_succeed "SC-30",
            delete::only_that_object "SC-31",
            delete::key_is_free_again "SC-32",
            many::distinct_keys_in_parallel "SC-33",
            many::readers_never_go_back "SC-34",
            history::one_key_history_is_linearizable "SC-34",
            many::read_during_delete_is_whole_or_absent "SC-35",
            drop::dropped_put_is_whole_or_absent "SC-36",
            drop::dropped_overwrite_is_old_or_new "SC-36",
            drop::dropped_reads_are_harmless "SC-37",
            drop::no_task_outlives_its_client "SC-37",
            error::names_operation_and_key "SC-38",
            error::settled_failures_are_not_to_be_repeated "SC-38",
            error::secrets_stay_inside "SC-39",
            claim::quota_answers_as_declared "SC-40",
            claim::quota_moves_with_what_is_stored "SC-40",
            claim::undeclared_create_has_no_effect "SC-41",
            claim::times_do_not_go_back "SC-42",
            extension::old_uploads_are_removed_and_nothing_else "SC-43",
            lock::locked_object_resists "SC-44",
            lock::locked_object_is_not_overwritten "SC-44",
            lock::lock_is_extended_and_never_shortened "SC-44",
            cold::cold_object_says_so_and_warms_up "SC-45",
            fault::read_cut_short_is_no_success "SC-46",
            fault::lost_answer_of_a_create_is_found_out "SC-47",
            fault::lost_answer_of_a_delete_does_no_harm "SC-47",
            fault::throttling_says_how_long "SC-48",
            fault::server_errors_pass "SC-49",
            fault::unreachable_store_may_come_back "SC-49",
            fault::failures_do_not_add_up "SC-49",
            fault::corrupted_put_is_noticed "SC-50",
            fault::stalled_call_can_be_given_up "SC-51",
            fault::expired_access_is_renewed "SC-52",
            fault::revoked_access_says_so "SC-53",
            fault::failures_show_no_secret "SC-39",
        }
    };
}

macro_rules! table {
    (@cases $($group:ident::$name:ident $clause:literal,)*) => {
        /// Every case, in the order of the groups.
        pub static CASES: &[Case] = &[$(Case {
            group: stringify!($group),
            name: stringify!($name),
            clause: $clause,
            run: |cx| Box::pin(case::$group::$name(cx)),
        }),*];
    };
}

for_each_case! { [table] }
