// Has every hook, and uses all that the host offers: SELECT 'nodes' is answered with what the interface nodes says.
#include <howdah.h>

// What the hooks were told.
static howdah_text seen, kept;
static uint64_t gone, observed, rows, ticks;

static howdah_text of(const char *literal) { return howdah_text_of(literal); }
static howdah_text truth(bool value) { return of(value ? "true" : "false"); }

static howdah_text joined(howdah_text a, const char *between, howdah_text b) {
    return howdah_join(howdah_join(a, of(between)), b);
}

static howdah_text number(uint64_t value) {
    howdah_text digit = {howdah_new(1), 1};
    *digit.ptr = (uint8_t)('0' + value % 10);
    return value < 10 ? digit : howdah_join(number(value / 10), digit);
}

static howdah_text names(const howdah_policy_types_node_t *nodes, size_t count) {
    howdah_text all = {NULL, 0};
    for (size_t i = 0; i < count; i++) {
        howdah_text one = joined(joined(nodes[i].cluster, "/", nodes[i].name), "/", truth(nodes[i].up));
        all = i == 0 ? one : joined(all, " ", one);
    }
    return all;
}

bool howdah_configure(const howdah_settings *settings, howdah_text *error) {
    for (size_t i = 0; i < settings->len; i++)
        if (!howdah_is(settings->ptr[i].f0, "greeting")) {
            *error = howdah_join(of("unknown setting "), settings->ptr[i].f0);
            return false;
        }
    return true;
}

howdah_session_decision howdah_session(const howdah_client *client) {
    if (!howdah_is(client->user, "alice") || !howdah_is(client->address, "::1"))
        return howdah_refuse_session("28000", "who?");
    static policy_tuple2_string_string_t setting;
    setting = (policy_tuple2_string_string_t){of("application_name"), of("everything")};
    return howdah_accept((howdah_admission){.class_ = 7, .priority = 3, .settings = {&setting, 1}});
}

void howdah_session_closed(uint64_t id) { gone = id; }

howdah_rewritten howdah_rewrite(const howdah_statement *statement) {
    if (howdah_is(statement->sql, "SELECT 'rewrite'"))
        return howdah_changed(of("SELECT 'rewritten'"), HOWDAH_BY_TEXT);
    return howdah_unchanged(HOWDAH_BY_DIGEST);
}

void howdah_topology(uint64_t epoch, const howdah_nodes *nodes) {
    (void)epoch;
    seen = howdah_keep_text(names(nodes->ptr, nodes->len));
}

howdah_retry_decision howdah_retry(const howdah_failure *failure, const howdah_statement *statement) {
    bool known = failure->sqlstate.is_some && howdah_is(failure->sqlstate.val, "57P01") &&
                 howdah_is(failure->node, "a") && failure->role == HOWDAH_POLICY_TYPES_ROLE_REPLICA &&
                 failure->safety == EXPORTS_HOWDAH_POLICY_RETRY_SAFETY_READ && failure->attempt == 1;
    if (known && howdah_is(statement->sql, "SELECT 1") && statement->kind == HOWDAH_READ)
        return howdah_again(EXPORTS_HOWDAH_POLICY_RETRY_TARGET_ANOTHER, 5);
    return howdah_give_up();
}

void howdah_observe(const howdah_observations *batch) {
    for (size_t i = 0; i < batch->len; i++) {
        const howdah_observation *one = &batch->ptr[i];
        if (howdah_is(one->node.val, "a") && !one->sqlstate.is_some && one->digest == 7 &&
            one->source == EXPORTS_HOWDAH_POLICY_OBSERVE_SOURCE_POLICY) {
            observed++;
            rows += one->rows;
        }
    }
}

uint32_t howdah_tick(void) {
    ticks++;
    return 10;
}

howdah_bytes howdah_snapshot(void) {
    howdah_text state = howdah_join(kept, of("x"));
    return (howdah_bytes){state.ptr, state.len};
}

bool howdah_restore(const howdah_bytes *state, howdah_text *error) {
    *error = of("enough");
    if (state->len > 2) return false;
    kept = howdah_keep_text((howdah_text){state->ptr, state->len});
    return true;
}

// Whether shared values do as they should.
static bool shared(void) {
    howdah_text n = of("n"), k = of("k"), none = {NULL, 0};
    howdah_bytes v = {(uint8_t *)"v", 1}, w = {(uint8_t *)"w", 1}, value, left;
    uint64_t second_long = 1000;
    int64_t first, second, sum;
    bool unswapped, swapped;
    howdah_policy_kv_error_t error;
    bool right = howdah_policy_kv_increment(&n, 1, NULL, &first, &error) &&
                 howdah_policy_kv_increment(&n, 2, &second_long, &second, &error) &&
                 howdah_policy_kv_set(&k, &v, NULL, &error) &&
                 howdah_policy_kv_compare_and_swap(&k, NULL, &w, NULL, &unswapped, &error) &&
                 howdah_policy_kv_compare_and_swap(&k, &v, &w, NULL, &swapped, &error) &&
                 howdah_policy_kv_get(&k, &value);
    right = right && first == 1 && second == 3 && !unswapped && swapped && value.len == 1 && *value.ptr == 'w';
    right = right && !howdah_policy_kv_increment(&k, 1, NULL, &sum, &error) &&
            error.tag == HOWDAH_POLICY_KV_ERROR_NOT_A_NUMBER;
    howdah_policy_kv_delete(&k);
    return right && !howdah_policy_kv_get(&k, &left) && !howdah_policy_kv_set(&none, &v, NULL, &error) &&
           error.tag == HOWDAH_POLICY_KV_ERROR_TOO_LARGE;
}

static bool immutable(const char *schema) {
    howdah_text name = of("f"), in = of(schema ? schema : "");
    return howdah_policy_catalog_function(schema ? &in : NULL, &name) == HOWDAH_POLICY_CATALOG_VOLATILITY_IMMUTABLE;
}

static howdah_text told(void) {
    howdah_text topic, text = of("?");
    if (!howdah_policy_question_literal(0, &topic)) return text;
    if (howdah_is(topic, "setting")) {
        howdah_text name = of("greeting");
        howdah_value value;
        return howdah_policy_settings_get(&name, &value) ? value.val.text : text;
    }
    if (howdah_is(topic, "tag")) return howdah_tag("app", &text) ? text : of("none");
    if (howdah_is(topic, "who")) {
        howdah_text database, application;
        howdah_policy_question_database(&database);
        howdah_policy_question_application_name(&application);
        return joined(joined(howdah_user(), "/", database), "/", application);
    }
    if (howdah_is(topic, "relations")) {
        howdah_texts relations;
        howdah_policy_question_relations(&relations);
        return relations.len == 1 ? relations.ptr[0] : text;
    }
    if (howdah_is(topic, "parameter")) {
        howdah_policy_question_parameter_value_t value;
        return howdah_policy_question_parameter(1, &value) ? value.val.text : text;
    }
    if (howdah_is(topic, "log")) {
        howdah_log_info("told");
        return truth(true);
    }
    if (howdah_is(topic, "metrics")) {
        howdah_text counted = of("counted"), gauge = of("gauge"), histogram = of("observed");
        howdah_policy_metrics_count(&counted, 1);
        howdah_policy_metrics_gauge(&gauge, 0.5);
        howdah_policy_metrics_observe(&histogram, 7);
        return truth(true);
    }
    if (howdah_is(topic, "clock")) {
        uint64_t first = howdah_policy_clock_monotonic_ns();
        return truth(first <= howdah_policy_clock_monotonic_ns() && howdah_policy_clock_wall_ms() > 0);
    }
    if (howdah_is(topic, "random")) return truth(howdah_policy_random_next() != howdah_policy_random_next());
    if (howdah_is(topic, "nodes")) {
        howdah_policy_nodes_list_node_t nodes;
        howdah_policy_nodes_all(&nodes);
        return names(nodes.ptr, nodes.len);
    }
    if (howdah_is(topic, "catalog")) return truth(immutable(NULL) && immutable("s"));
    if (howdah_is(topic, "kv")) return truth(shared());
    if (howdah_is(topic, "state")) return kept;
    if (howdah_is(topic, "hooks")) {
        howdah_text sums = joined(joined(number(gone), " ", number(observed)), " ", number(rows));
        return joined(joined(seen, " ", sums), " ", truth(ticks > 0));
    }
    return text;
}

howdah_verdict howdah_route(const howdah_statement *statement) {
    (void)statement;
    return howdah_always_ask(howdah_answer_one("value", told()));
}
