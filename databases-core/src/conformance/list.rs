//! The list of all cases. A new case is one line here.

/// Makes a named test of each case of the suite: `conformance!(source)`, where `source()` gives a
/// [`Source`](crate::conformance::Source).
///
/// # Examples
///
/// ```text
/// mod postgres { databases_core::conformance!(super::source); }
/// ```
#[macro_export]
macro_rules! conformance {
    (@tests $source:expr; $($module:ident::$case:ident [$($need:ident),*];)*) => {$(
        #[test]
        fn $case() {
            let case = $crate::conformance::Case {
                name: stringify!($case),
                needs: &[$($crate::conformance::Need::$need),*],
                run: |fixture| ::std::boxed::Box::pin($crate::conformance::$module::$case(fixture)),
            };
            $crate::conformance::run(($source)(), case);
        }
    )*};
    ($source:expr) => {
        $crate::conformance! {
            @tests $source;
            results::rows_affected_counts_the_rows_of_insert_update_and_delete [];
            results::rows_affected_counts_an_update_to_the_same_value [];
            results::rows_affected_is_0_for_select_and_create_table [];
            results::rows_affected_is_0_for_create_table_as [FullSql];
            results::rows_affected_of_an_upsert_is_1_and_on_mysql_2 [FullSql];
            results::rows_affected_of_replace_is_1_and_on_mysql_2 [FullSql];
            results::last_insert_id_is_the_id_that_was_generated [FullSql];
            results::last_insert_id_is_the_id_that_was_given [FullSql];
            results::last_insert_id_is_none_for_several_rows_no_row_and_other_statements [FullSql];
            results::last_insert_id_is_none_for_an_insert_that_was_ignored [FullSql];
            results::last_insert_id_is_none_without_a_counted_key [FullSql];
            results::returning_gives_the_new_row [FullSql];
            results::fetch_all_gives_every_row_in_order [];
            results::fetch_one_gives_the_first_row_and_no_rows_is_an_error [];
            results::fetch_optional_gives_the_first_row_or_none [];
            results::fetch_val_gives_the_first_column_of_the_first_row [];
            results::fetch_optional_val_is_none_only_without_a_row [];
            results::null_into_a_type_without_option_is_an_error_that_names_the_column [];
            results::execute_of_a_select_skips_its_rows [Transactions];
            results::a_text_without_a_statement_is_an_error_or_nothing [];
            bulk::execute_many_runs_every_row_and_adds_up [FullSql];
            bulk::execute_many_keeps_the_order_of_the_rows [FullSql];
            bulk::execute_many_of_no_rows_is_0_and_sends_nothing [];
            bulk::execute_many_pulls_rows_as_they_are_sent [FullSql];
            bulk::execute_many_is_all_or_none_and_names_the_row [FullSql];
            bulk::execute_many_undoes_rows_before_one_with_wrong_parameters [FullSql];
            bulk::execute_many_in_a_transaction_undoes_only_itself [FullSql, Savepoints];
            bulk::execute_many_gives_types_that_change_from_row_to_row [FullSql];
            bulk::execute_script_runs_several_statements [FullSql];
            bulk::execute_script_of_nothing_does_nothing [FullSql];
            bulk::execute_script_stops_at_the_first_error [FullSql];
            bulk::execute_script_in_a_transaction_is_part_of_it [FullSql];
            bulk::execute_script_with_its_own_commit_is_refused_in_a_transaction [FullSql];
            bulk::execute_script_left_in_a_transaction_is_rolled_back [FullSql];
            streams::iterate_gives_10_000_rows_in_order [Transactions];
            streams::iterate_takes_parameters_and_may_be_empty [Transactions];
            streams::iterate_reports_errors_as_an_item [Transactions];
            streams::iterate_sends_nothing_before_the_first_poll [];
            streams::iterate_dropped_early_leaves_a_pool_of_one_usable [Transactions];
            streams::iterate_dropped_early_leaves_the_transaction_usable [FullSql, Transactions];
            streams::an_open_stream_makes_its_handle_busy [Transactions];
            streams::a_stream_on_a_pool_leaves_other_connections_to_others [FullSql, TwoConnections];
            parameters::a_missing_parameter_is_an_error_before_anything_is_sent [];
            parameters::an_unused_parameter_is_an_error_unless_allowed [];
            parameters::a_name_may_be_repeated [FullSql];
            parameters::names_in_literals_identifiers_and_comments_are_text [FullSql];
            parameters::percent_and_question_marks_are_text [FullSql];
            parameters::values_never_become_sql_text [];
            parameters::parameters_come_from_maps_pairs_and_nothing [];
            parameters::a_typed_null_works_where_the_server_must_know_its_type [FullSql];
            parameters::too_many_parameters_are_an_error_before_anything_is_sent [FullSql];
            parameters::several_statements_in_one_call_are_refused [];
            parameters::transaction_control_as_text_is_refused_on_pools_and_transactions [Transactions];
            parameters::transaction_control_as_text_on_a_connection_is_rolled_back_on_return [FullSql];
            parameters::a_function_takes_any_executor [];
            lists::a_list_stands_behind_in [FullSql];
            lists::an_empty_list_matches_nothing_and_not_in_everything [FullSql];
            lists::null_in_a_list_compares_as_sql_says [FullSql];
            lists::lists_of_many_lengths_work_one_after_the_other [FullSql];
            lists::a_list_of_pairs_stands_behind_in [FullSql];
            lists::a_list_of_tuples_stands_behind_values [FullSql];
            lists::a_list_in_another_place_is_an_error [FullSql];
            lists::a_vec_is_an_array_where_the_server_has_arrays [FullSql];
            rows::columns_are_found_by_exact_name_then_without_regard_to_case [FullSql];
            rows::an_ambiguous_name_is_an_error_and_the_index_works [FullSql];
            rows::a_row_lists_its_columns [];
            rows::a_join_keeps_both_columns_of_one_name [FullSql];
            rows::a_column_that_does_not_fit_does_not_spoil_its_row [];
            rows::a_column_of_a_type_without_a_value_of_its_own_leaves_the_others_readable [FullSql];
            rows::cells_are_borrowed_and_taken_as_values [];
            rows::rows_are_iterated_and_collected_by_name [FullSql];
            rows::rows_outlive_their_connection [];
            rows::a_result_may_have_many_columns [FullSql];
            types::bool_round_trips [];
            types::i16_round_trips [];
            types::i32_round_trips [];
            types::i64_round_trips [];
            types::u64_round_trips_as_far_as_the_column_goes [FullSql];
            types::f32_round_trips [FullSql];
            types::f64_round_trips [];
            types::negative_zero_is_zero_and_keeps_its_sign_on_postgresql [FullSql];
            types::nan_and_infinity_are_kept_or_refused [FullSql];
            types::decimal_round_trips [FullSql];
            types::a_decimal_of_many_digits_is_kept_or_refused [FullSql];
            types::decimals_as_text_on_sqlite_are_exact [FullSql];
            types::text_round_trips [];
            types::text_with_a_nul_is_kept_or_refused [FullSql];
            types::bytes_round_trip [];
            types::date_round_trips [];
            types::time_round_trips_with_microseconds [];
            types::datetime_round_trips_with_microseconds [];
            types::timestamp_round_trips_with_microseconds [FullSql];
            types::a_timestamp_is_the_same_instant_in_sql [FullSql];
            types::now_of_the_server_is_now [FullSql];
            types::uuid_round_trips [];
            types::json_round_trips [];
            types::a_number_out_of_range_is_an_error_and_nothing_is_stored [FullSql];
            types::a_value_of_the_wrong_sort_is_an_error_or_stored_as_it_is [FullSql];
            types::text_that_is_too_long_is_refused [FullSql];
            values::select_of_a_number_gives_it_back [];
            values::select_of_a_bool_gives_it_back [FullSql];
            values::select_of_text_and_bytes_gives_them_back [FullSql];
            values::select_of_a_time_gives_it_back [FullSql];
            values::select_of_a_decimal_uuid_and_json_gives_them_back [FullSql];
            values::select_of_an_untyped_null_is_null [];
            values::one_text_takes_values_of_different_types [];
            values::parameters_take_part_in_expressions [FullSql];
            values::the_type_asked_for_decides_and_is_exact [];
            values::a_sum_of_integers_is_read_as_an_integer [FullSql];
            values::a_type_of_ones_own_is_a_parameter_and_a_result [];
            values::a_typed_null_of_every_sort_stands_beside_a_comparison [FullSql];
            values::columns_read_as_values_have_the_kinds_of_their_server [FullSql];
            transactions::commit_keeps_and_rollback_undoes [Transactions];
            transactions::a_dropped_transaction_is_rolled_back_before_reuse [Transactions];
            transactions::an_empty_transaction_commits [Transactions];
            transactions::others_do_not_see_what_is_not_committed [FullSql, Transactions, TwoConnections];
            transactions::a_closure_commits_on_ok_and_rolls_back_on_err [Transactions];
            transactions::a_closure_that_panics_is_rolled_back [Transactions];
            transactions::closures_run_in_spawned_tasks_with_what_they_capture [Transactions];
            transactions::a_transaction_is_passed_on_as_an_executor [Transactions];
            transactions::statements_of_one_transaction_may_be_joined [Transactions];
            transactions::statements_of_one_connection_may_be_joined [FullSql, Transactions];
            transactions::an_error_fails_the_transaction_on_postgresql_and_undoes_one_statement_elsewhere [FullSql, Transactions];
            transactions::an_error_in_a_nested_transaction_is_undone_alone_everywhere [Savepoints];
            transactions::a_deferred_constraint_that_fails_at_commit_is_an_error_and_rolls_back [FullSql, Transactions];
            transactions::ddl_is_part_of_the_transaction_or_ends_it [FullSql, Transactions];
            nested::a_nested_commit_is_part_of_the_outer_transaction [Savepoints];
            nested::a_nested_rollback_undoes_only_the_inner_part [Savepoints];
            nested::a_dropped_nested_transaction_is_undone_before_the_next_statement [Savepoints];
            nested::transactions_nest_deeply [Savepoints];
            nested::closures_nest [Savepoints];
            nested::an_open_child_makes_its_parent_busy [Savepoints];
            nested::commit_with_an_open_child_is_busy_and_rolls_back_everything [Savepoints];
            nested::options_belong_to_the_outermost_transaction [Savepoints];
            nested::a_statement_on_the_pool_is_outside_of_the_transaction [FullSql, Savepoints, TwoConnections];
            isolation::isolation_levels_are_kept_or_refused [Transactions];
            isolation::repeatable_read_sees_one_state [FullSql, Transactions, TwoConnections];
            isolation::a_read_only_transaction_refuses_writes [Transactions];
            isolation::deferrable_is_kept_or_refused [Transactions];
            isolation::immediate_and_deferred_are_kept_or_refused [Transactions];
            isolation::a_transaction_that_lost_a_conflict_runs_again [FullSql, Transactions, TwoConnections];
            isolation::a_conflict_without_retry_is_a_retryable_error [FullSql, Transactions, TwoConnections];
            isolation::an_error_that_is_no_conflict_is_not_retried [FullSql, Transactions];
            sessions::settings_on_an_acquired_connection_do_not_reach_the_next_borrower [FullSql];
            sessions::temporary_tables_do_not_reach_the_next_borrower [FullSql];
            sessions::settings_on_a_pool_are_reset_or_refused [FullSql];
            sessions::session_defaults_hold_again_after_a_reset [FullSql];
            sessions::a_clean_connection_is_reused_as_it_is [FullSql];
            sessions::native_of_the_wrong_type_names_the_right_one [];
            sessions::after_connect_runs_once_for_each_connection [];
            sessions::search_path_of_the_url_holds_on_every_connection [FullSql, TwoConnections];
            sessions::pragmas_that_read_run_on_a_pool_and_those_that_change_do_not [FullSql];
            sessions::the_password_provider_is_asked_for_each_connection [FullSql];
            force_rollback::forced_data_is_there_until_close_and_gone_afterwards [FullSql, TwoConnections];
            force_rollback::forced_data_is_gone_when_the_last_handle_drops [FullSql, TwoConnections];
            force_rollback::forced_errors_undo_only_their_own_statement [FullSql, TwoConnections];
            force_rollback::forced_transactions_commit_and_roll_back_inside [FullSql, TwoConnections];
            force_rollback::forced_calls_take_turns_on_one_connection [FullSql, TwoConnections];
            force_rollback::forced_transaction_control_as_text_is_refused [FullSql];
            force_rollback::forced_ddl_is_undone_or_refused [FullSql, TwoConnections];
            pool::tasks_run_beside_each_other_on_connections_of_their_own [FullSql, TwoConnections];
            pool::more_tasks_than_connections_wait_and_are_all_served [FullSql, TwoConnections];
            pool::waiting_too_long_is_an_error_that_says_for_what [];
            pool::a_stream_that_holds_the_only_connection_is_named [Transactions];
            pool::cancelled_waiters_pass_their_turn_on [];
            pool::a_closed_pool_refuses_and_waits_for_what_is_in_use [];
            pool::close_gives_up_after_its_timeout_and_says_so [];
            pool::one_pool_serves_several_runtimes_one_after_another [];
            pool::min_connections_are_opened_in_the_background [FullSql, TwoConnections];
            pool::limits_that_contradict_each_other_are_errors [];
            pool::the_server_says_what_it_is [];
            pool::writers_in_parallel_lose_nothing [FullSql];
            prepared::one_text_runs_many_times [];
            prepared::more_texts_than_the_cache_holds_work [];
            prepared::a_statement_may_be_left_unprepared [];
            prepared::a_query_works_after_its_table_has_changed [FullSql];
            prepared::a_query_works_after_a_change_on_another_connection [FullSql, TwoConnections];
            prepared::an_error_while_preparing_leaves_nothing_behind [];
            prepared::a_value_is_taken_alike_whatever_came_before_it [FullSql];
            stopping::a_statement_that_is_too_slow_is_stopped_and_the_pool_works_on [FullSql];
            stopping::the_statement_timeout_of_the_pool_is_the_default [FullSql];
            stopping::a_timeout_in_a_transaction_leaves_it_to_be_rolled_back [FullSql];
            stopping::a_dropped_statement_leaves_a_clean_pool_of_one [FullSql];
            stopping::a_statement_dropped_in_a_transaction_dooms_it [FullSql];
            stopping::a_dropped_transaction_future_leaves_nothing_open [FullSql];
            stopping::futures_dropped_at_random_leave_no_wrong_answer [];
            errors::a_unique_violation_names_its_constraint [FullSql];
            errors::a_not_null_violation_names_its_column [FullSql];
            errors::a_check_violation_names_its_constraint [FullSql];
            errors::a_foreign_key_violation_names_its_constraint [FullSql];
            errors::a_syntax_error_is_one [FullSql];
            errors::undefined_names_have_kinds_of_their_own [FullSql];
            errors::simple_undefined_tables_and_columns_are_told [];
            errors::errors_that_repeat_values_keep_them_out_of_sight [FullSql];
            errors::no_error_that_values_provoke_prints_them [FullSql];
            errors::division_by_zero_is_an_error_or_null [FullSql];
            errors::a_wrong_password_and_url_are_told_without_the_password [FullSql];
            errors::an_unknown_option_of_the_url_is_an_error_that_names_it [];
            errors::a_mistake_is_shown_in_the_text_that_was_given [FullSql];
            errors::a_mistake_behind_or_in_a_list_is_shown_at_its_name [FullSql];
            query_builder::built_statements_run_on_every_backend [FullSql];
            query_builder::names_in_built_statements_are_parameters [FullSql];
            query_builder::built_statements_are_kept_prepared [FullSql];
            statement_kinds::select_statements_of_many_shapes_run [FullSql];
            statement_kinds::insert_update_and_delete_statements_of_many_shapes_run [FullSql];
            statement_kinds::with_queries_run [FullSql];
            statement_kinds::explain_statements_run [FullSql];
            statement_kinds::returning_is_written_where_the_server_has_it [FullSql];
            statement_kinds::table_statements_run [FullSql];
            statement_kinds::index_and_foreign_key_statements_run [FullSql];
            statement_kinds::types_and_extensions_are_statements_of_postgresql [FullSql];
            statement_kinds::values_of_the_builder_come_back [FullSql];
            composing::filters_orders_and_limits_are_pushed_as_they_are_asked_for [FullSql];
            composing::odd_names_are_quoted_and_come_back [FullSql];
            composing::an_identifier_that_is_no_name_is_an_error_before_anything_is_sent [FullSql];
            composing::bound_values_stand_beside_those_of_the_call [FullSql];
            composing::a_mistake_is_shown_in_the_text_as_it_was_put_together [FullSql];
        }
    };
}
