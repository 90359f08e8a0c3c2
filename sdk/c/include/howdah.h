// Write howdah policies in C.
//
// A policy defines the hooks that it has, and only those: `howdah_route` and so on, declared below.
// `howdah policy build` makes the component. Each worker thread of the proxy has an instance of its own and asks it one
// question at a time, so static variables need no locks.
//
// What the host hands to a hook, and what `howdah_new` and `malloc` give, lives until the answer has been taken.
// `howdah_keep` makes what outlives it. `free` does nothing.
#ifndef HOWDAH_H
#define HOWDAH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "policy.h"

// The hook counts because the policy defines it.
#ifndef HOWDAH_HOOK
#define HOWDAH_HOOK(name) __attribute__((export_name("hook:" name)))
#endif

// Text. Not ended by a zero.

typedef policy_string_t howdah_text;

static inline howdah_text howdah_text_of(const char *literal) {
    return (howdah_text){(uint8_t *)literal, strlen(literal)};
}

static inline bool howdah_same(howdah_text a, howdah_text b) {
    return a.len == b.len && memcmp(a.ptr, b.ptr, a.len) == 0;
}

static inline bool howdah_is(howdah_text text, const char *literal) {
    return howdah_same(text, howdah_text_of(literal));
}

// One text behind the other.
howdah_text howdah_join(howdah_text a, howdah_text b);

// Memory until the answer has been taken.
void *howdah_new(size_t size);

// A copy that stays.
void *howdah_keep(const void *from, size_t size);
howdah_text howdah_keep_text(howdah_text text);

// Statements.

typedef enum {
    HOWDAH_EMPTY = HOWDAH_POLICY_TYPES_KIND_EMPTY,
    HOWDAH_READ = HOWDAH_POLICY_TYPES_KIND_READ,
    HOWDAH_WRITE = HOWDAH_POLICY_TYPES_KIND_WRITE,
    HOWDAH_DDL = HOWDAH_POLICY_TYPES_KIND_DDL,
    HOWDAH_BEGIN = HOWDAH_POLICY_TYPES_KIND_BEGIN,
    HOWDAH_END = HOWDAH_POLICY_TYPES_KIND_END,
    HOWDAH_SESSION = HOWDAH_POLICY_TYPES_KIND_SESSION,
    HOWDAH_UTILITY = HOWDAH_POLICY_TYPES_KIND_UTILITY,
    HOWDAH_UNKNOWN = HOWDAH_POLICY_TYPES_KIND_UNKNOWN,
} howdah_kind;

enum {
    HOWDAH_IN_TRANSACTION = HOWDAH_POLICY_TYPES_FACTS_IN_TRANSACTION,
    HOWDAH_READ_ONLY = HOWDAH_POLICY_TYPES_FACTS_READ_ONLY,
    HOWDAH_LOCKS_ROWS = HOWDAH_POLICY_TYPES_FACTS_LOCKS_ROWS,
    HOWDAH_VOLATILE = HOWDAH_POLICY_TYPES_FACTS_VOLATILE,
    HOWDAH_SEVERAL = HOWDAH_POLICY_TYPES_FACTS_SEVERAL,
    HOWDAH_EXTENDED = HOWDAH_POLICY_TYPES_FACTS_EXTENDED,
    HOWDAH_COPY = HOWDAH_POLICY_TYPES_FACTS_COPY,
    HOWDAH_STICKY = HOWDAH_POLICY_TYPES_FACTS_STICKY,
    HOWDAH_HINT_PRIMARY = HOWDAH_POLICY_TYPES_FACTS_HINT_PRIMARY,
    HOWDAH_HINT_REPLICA = HOWDAH_POLICY_TYPES_FACTS_HINT_REPLICA,
    HOWDAH_UNBOUNDED = HOWDAH_POLICY_TYPES_FACTS_UNBOUNDED,
};

typedef struct {
    howdah_text sql;
    howdah_kind kind;
    // The same for texts that differ only in literals, white space and comments.
    uint64_t digest;
    // HOWDAH_IN_TRANSACTION and so on, or-ed.
    uint32_t facts;
    // What `howdah_session` said, else 0.
    uint32_t session_class;
} howdah_statement;

// How long an answer may be remembered.

typedef enum {
    HOWDAH_ALWAYS_ASK = HOWDAH_POLICY_TYPES_REMEMBER_NEVER,
    HOWDAH_BY_TEXT = HOWDAH_POLICY_TYPES_REMEMBER_TEXT,
    HOWDAH_BY_TEXT_AND_CLASS = HOWDAH_POLICY_TYPES_REMEMBER_TEXT_AND_CLASS,
    // Right when nothing but kind, facts and digest was looked at.
    HOWDAH_BY_DIGEST = HOWDAH_POLICY_TYPES_REMEMBER_DIGEST,
    HOWDAH_BY_DIGEST_AND_CLASS = HOWDAH_POLICY_TYPES_REMEMBER_DIGEST_AND_CLASS,
} howdah_remember;

// The hook `configure`: false, and an error for the operator, keeps the previous version of the policy.

typedef exports_howdah_policy_configure_list_tuple2_string_value_t howdah_settings;
typedef howdah_policy_types_value_t howdah_value;
typedef policy_list_string_t howdah_texts;

HOWDAH_HOOK("configure") bool howdah_configure(const howdah_settings *settings, howdah_text *error);

// A setting, or NULL.
const howdah_value *howdah_setting(const howdah_settings *settings, const char *name);

// A list of texts, none when it is not set. False, and an error: it is something else.
bool howdah_setting_texts(const howdah_settings *settings, const char *name, howdah_texts *texts, howdah_text *error);

// The hook `session`.

typedef exports_howdah_policy_session_client_t howdah_client;
typedef exports_howdah_policy_session_admission_t howdah_admission;
typedef exports_howdah_policy_session_decision_t howdah_session_decision;

HOWDAH_HOOK("session") howdah_session_decision howdah_session(const howdah_client *client);

// The client has gone. A policy with the hook `session` need not define it.
void howdah_session_closed(uint64_t id);

static inline howdah_session_decision howdah_no_opinion_of_session(void) {
    return (howdah_session_decision){.tag = EXPORTS_HOWDAH_POLICY_SESSION_DECISION_NO_OPINION};
}

static inline howdah_session_decision howdah_accept(howdah_admission admission) {
    return (howdah_session_decision){
        .tag = EXPORTS_HOWDAH_POLICY_SESSION_DECISION_ACCEPT, .val = {.accept = admission}};
}

static inline howdah_session_decision howdah_refuse_session(const char *sqlstate, const char *message) {
    return (howdah_session_decision){
        .tag = EXPORTS_HOWDAH_POLICY_SESSION_DECISION_REFUSE,
        .val = {.refuse = {howdah_text_of(sqlstate), howdah_text_of(message)}}};
}

// The hook `route`.

typedef exports_howdah_policy_route_decision_t howdah_decision;
typedef exports_howdah_policy_route_demands_t howdah_demands;
typedef exports_howdah_policy_route_table_t howdah_table;
typedef exports_howdah_policy_route_verdict_t howdah_verdict;

HOWDAH_HOOK("route") howdah_verdict howdah_route(const howdah_statement *statement);

static inline howdah_decision howdah_no_opinion(void) {
    return (howdah_decision){.tag = EXPORTS_HOWDAH_POLICY_ROUTE_DECISION_NO_OPINION};
}

static inline howdah_decision howdah_primary(void) {
    return (howdah_decision){.tag = EXPORTS_HOWDAH_POLICY_ROUTE_DECISION_PRIMARY};
}

static inline howdah_decision howdah_replica_with(howdah_demands demands) {
    return (howdah_decision){.tag = EXPORTS_HOWDAH_POLICY_ROUTE_DECISION_REPLICA, .val = {.replica = demands}};
}

// Any replica that is up, else the primary.
static inline howdah_decision howdah_replica(void) {
    return howdah_replica_with((howdah_demands){.otherwise = EXPORTS_HOWDAH_POLICY_ROUTE_OTHERWISE_PRIMARY});
}

static inline howdah_decision howdah_node(howdah_text name) {
    return (howdah_decision){.tag = EXPORTS_HOWDAH_POLICY_ROUTE_DECISION_NODE, .val = {.node = name}};
}

static inline howdah_decision howdah_cluster(howdah_text name) {
    return (howdah_decision){.tag = EXPORTS_HOWDAH_POLICY_ROUTE_DECISION_CLUSTER, .val = {.cluster = name}};
}

static inline howdah_decision howdah_pin(howdah_text reason) {
    return (howdah_decision){.tag = EXPORTS_HOWDAH_POLICY_ROUTE_DECISION_PIN, .val = {.pin = reason}};
}

static inline howdah_decision howdah_refuse(const char *sqlstate, const char *message) {
    return (howdah_decision){
        .tag = EXPORTS_HOWDAH_POLICY_ROUTE_DECISION_REFUSE,
        .val = {.refuse = {howdah_text_of(sqlstate), howdah_text_of(message)}}};
}

// A result that the host sends without asking any server: see howdah_answer_one.
static inline howdah_decision howdah_answer(howdah_table table) {
    return (howdah_decision){.tag = EXPORTS_HOWDAH_POLICY_ROUTE_DECISION_ANSWER, .val = {.answer = table}};
}

// One row of one column.
howdah_decision howdah_answer_one(const char *column, howdah_text value);

static inline howdah_verdict howdah_remembered(howdah_decision decision, howdah_remember remember) {
    return (howdah_verdict){decision, (howdah_policy_types_remember_t)remember};
}

static inline howdah_verdict howdah_by_digest(howdah_decision decision) {
    return howdah_remembered(decision, HOWDAH_BY_DIGEST);
}

static inline howdah_verdict howdah_always_ask(howdah_decision decision) {
    return howdah_remembered(decision, HOWDAH_ALWAYS_ASK);
}

// The hook `rewrite`.

typedef exports_howdah_policy_rewrite_verdict_t howdah_rewritten;

HOWDAH_HOOK("rewrite") howdah_rewritten howdah_rewrite(const howdah_statement *statement);

static inline howdah_rewritten howdah_unchanged(howdah_remember remember) {
    return (howdah_rewritten){
        {.tag = EXPORTS_HOWDAH_POLICY_REWRITE_OUTCOME_UNCHANGED}, (howdah_policy_types_remember_t)remember};
}

static inline howdah_rewritten howdah_changed(howdah_text sql, howdah_remember remember) {
    return (howdah_rewritten){
        {.tag = EXPORTS_HOWDAH_POLICY_REWRITE_OUTCOME_TEXT, .val = {.text = sql}},
        (howdah_policy_types_remember_t)remember};
}

static inline howdah_rewritten howdah_refuse_text(const char *sqlstate, const char *message, howdah_remember remember) {
    return (howdah_rewritten){
        {.tag = EXPORTS_HOWDAH_POLICY_REWRITE_OUTCOME_REFUSE,
         .val = {.refuse = {howdah_text_of(sqlstate), howdah_text_of(message)}}},
        (howdah_policy_types_remember_t)remember};
}

// The other hooks, with the types of policy.h.

typedef exports_howdah_policy_topology_list_node_t howdah_nodes;
typedef exports_howdah_policy_retry_failure_t howdah_failure;
typedef exports_howdah_policy_retry_decision_t howdah_retry_decision;
typedef exports_howdah_policy_observe_observation_t howdah_observation;
typedef exports_howdah_policy_observe_list_observation_t howdah_observations;
typedef policy_list_u8_t howdah_bytes;

HOWDAH_HOOK("topology") void howdah_topology(uint64_t epoch, const howdah_nodes *nodes);
HOWDAH_HOOK("retry")
howdah_retry_decision howdah_retry(const howdah_failure *failure, const howdah_statement *statement);

static inline howdah_retry_decision howdah_no_opinion_of_failure(void) {
    return (howdah_retry_decision){.tag = EXPORTS_HOWDAH_POLICY_RETRY_DECISION_NO_OPINION};
}

static inline howdah_retry_decision howdah_give_up(void) {
    return (howdah_retry_decision){.tag = EXPORTS_HOWDAH_POLICY_RETRY_DECISION_GIVE_UP};
}

// Once more, to EXPORTS_HOWDAH_POLICY_RETRY_TARGET_SAME, …_ANOTHER or …_PRIMARY, after so many milliseconds.
static inline howdah_retry_decision howdah_again(exports_howdah_policy_retry_target_t target, uint32_t delay_ms) {
    return (howdah_retry_decision){
        .tag = EXPORTS_HOWDAH_POLICY_RETRY_DECISION_AGAIN, .val = {.again = {target, delay_ms}}};
}

// The whole transaction once more, when the failure is `replayable`.
static inline howdah_retry_decision howdah_replay(void) {
    return (howdah_retry_decision){.tag = EXPORTS_HOWDAH_POLICY_RETRY_DECISION_REPLAY};
}

HOWDAH_HOOK("observe") void howdah_observe(const howdah_observations *batch);
// In how many milliseconds to be told again; 0 for never.
HOWDAH_HOOK("tick") uint32_t howdah_tick(void);
// The hook `state` is both of these.
HOWDAH_HOOK("state") howdah_bytes howdah_snapshot(void);
bool howdah_restore(const howdah_bytes *state, howdah_text *error);

// What the host offers. The functions of policy.h are there as well: kv, clock, random, nodes, catalog.

// A key of the statement's comment in sqlcommenter form.
static inline bool howdah_tag(const char *key, howdah_text *value) {
    howdah_text name = howdah_text_of(key);
    return howdah_policy_question_tag(&name, value);
}

// The user that the client authenticated as. An answer that looks at it is not remembered.
static inline howdah_text howdah_user(void) {
    howdah_text user;
    howdah_policy_question_user(&user);
    return user;
}

static inline void howdah_log_info(const char *line) {
    howdah_text text = howdah_text_of(line);
    howdah_policy_log_write(HOWDAH_POLICY_LOG_LEVEL_INFO, &text);
}

static inline void howdah_log_warn(const char *line) {
    howdah_text text = howdah_text_of(line);
    howdah_policy_log_write(HOWDAH_POLICY_LOG_LEVEL_WARN, &text);
}

#endif
