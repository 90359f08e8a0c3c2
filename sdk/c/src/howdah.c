// Between the generated bindings and howdah.h, and the little of a C library that policies need.

// Here hooks are only called.
#define HOWDAH_HOOK(name)
#include "howdah.h"

#include <stdlib.h>

// Memory: two regions that only grow. `answer` begins anew when an answer has been taken.

#define PAGE 65536

typedef struct {
    uint8_t *start, *next, *end;
} region;

static region answer, kept;

// More room, twice as much as before: what was there is given up, or goes on being used by whoever has it.
static void grow(region *r, size_t size) {
    size_t had = (size_t)(r->end - r->start);
    size_t pages = ((had > size ? had : size) * 2 + PAGE - 1) / PAGE;
    size_t page = __builtin_wasm_memory_grow(0, pages);
    if (page == (size_t)-1) abort();
    r->start = r->next = (uint8_t *)(page * PAGE);
    r->end = r->start + pages * PAGE;
}

static void *take(region *r, size_t size) {
    if (size > (size_t)1 << 30) abort();
    size = (size + 7) & ~(size_t)7;
    if ((size_t)(r->end - r->next) < size) grow(r, size);
    void *taken = r->next;
    r->next += size;
    return taken;
}

static void taken(void) { answer.next = answer.start; }

void *malloc(size_t size) { return take(&answer, size); }

void *howdah_new(size_t size) { return malloc(size); }

// The bindings never make anything smaller or larger that has been made.
void *realloc(void *old, size_t size) {
    if (old) abort();
    return malloc(size);
}

void *howdah_keep(const void *from, size_t size) { return memcpy(take(&kept, size), from, size); }

howdah_text howdah_keep_text(howdah_text text) {
    return (howdah_text){howdah_keep(text.ptr, text.len), text.len};
}

// What a freestanding compiler expects to find.

void *memcpy(void *restrict to, const void *restrict from, size_t size) {
    return __builtin_memcpy(to, from, size);
}

void *memmove(void *to, const void *from, size_t size) { return __builtin_memmove(to, from, size); }

void *memset(void *to, int byte, size_t size) { return __builtin_memset(to, byte, size); }

int memcmp(const void *a, const void *b, size_t size) {
    const uint8_t *x = a, *y = b;
    for (size_t i = 0; i < size; i++)
        if (x[i] != y[i]) return x[i] < y[i] ? -1 : 1;
    return 0;
}

void *memchr(const void *in, int byte, size_t size) {
    const uint8_t *at = in;
    for (size_t i = 0; i < size; i++)
        if (at[i] == (uint8_t)byte) return (void *)(at + i);
    return NULL;
}

size_t strlen(const char *text) {
    size_t length = 0;
    while (text[length]) length++;
    return length;
}

// Text and settings.

howdah_text howdah_join(howdah_text a, howdah_text b) {
    howdah_text both = {howdah_new(a.len + b.len), a.len + b.len};
    memcpy(both.ptr, a.ptr, a.len);
    memcpy(both.ptr + a.len, b.ptr, b.len);
    return both;
}

const howdah_value *howdah_setting(const howdah_settings *settings, const char *name) {
    for (size_t i = 0; i < settings->len; i++)
        if (howdah_is(settings->ptr[i].f0, name)) return &settings->ptr[i].f1;
    return NULL;
}

bool howdah_setting_texts(const howdah_settings *settings, const char *name, howdah_texts *texts, howdah_text *error) {
    const howdah_value *value = howdah_setting(settings, name);
    *texts = (howdah_texts){NULL, 0};
    if (!value) return true;
    if (value->tag != HOWDAH_POLICY_TYPES_VALUE_TEXTS) {
        *error = howdah_join(howdah_text_of(name), howdah_text_of(" must be a list of texts"));
        return false;
    }
    *texts = value->val.texts;
    return true;
}

howdah_decision howdah_answer_one(const char *column, howdah_text value) {
    howdah_text *name = howdah_new(sizeof *name);
    policy_option_string_t *cell = howdah_new(sizeof *cell);
    policy_list_option_string_t *row = howdah_new(sizeof *row);
    *name = howdah_text_of(column);
    *cell = (policy_option_string_t){true, value};
    *row = (policy_list_option_string_t){cell, 1};
    return howdah_answer((howdah_table){{name, 1}, {row, 1}});
}

// The bindings ask for the object file that tells the component's type; howdah policy build tells it later.
void __component_type_object_force_link_policy(void) {}

// Hooks. A call of one that the policy does not define would trap; the component does not export it.

#define OPTIONAL(function) extern __typeof__(function) function __attribute__((weak))

OPTIONAL(howdah_configure);
OPTIONAL(howdah_session);
OPTIONAL(howdah_session_closed);
OPTIONAL(howdah_route);
OPTIONAL(howdah_rewrite);
OPTIONAL(howdah_topology);
OPTIONAL(howdah_retry);
OPTIONAL(howdah_observe);
OPTIONAL(howdah_tick);
OPTIONAL(howdah_snapshot);
OPTIONAL(howdah_restore);

static howdah_statement statement(policy_string_t *sql, uint8_t kind, uint64_t digest, uint32_t facts, uint32_t class) {
    return (howdah_statement){*sql, (howdah_kind)kind, digest, facts, class};
}

bool exports_howdah_policy_configure_configure(howdah_settings *settings, policy_string_t *err) {
    return howdah_configure(settings, err);
}

void exports_howdah_policy_session_open(howdah_client *client, howdah_session_decision *ret) {
    *ret = howdah_session(client);
}

void exports_howdah_policy_session_closed(uint64_t id) {
    if (howdah_session_closed) howdah_session_closed(id);
    taken();
}

void exports_howdah_policy_route_route(
    policy_string_t *sql, uint8_t kind, uint64_t digest, uint16_t facts, uint32_t class, howdah_verdict *ret) {
    howdah_statement asked = statement(sql, kind, digest, facts, class);
    *ret = howdah_route(&asked);
}

void exports_howdah_policy_rewrite_rewrite(
    policy_string_t *sql, uint8_t kind, uint64_t digest, uint16_t facts, uint32_t class, howdah_rewritten *ret) {
    howdah_statement asked = statement(sql, kind, digest, facts, class);
    *ret = howdah_rewrite(&asked);
}

void exports_howdah_policy_topology_changed(uint64_t epoch, howdah_nodes *nodes) {
    howdah_topology(epoch, nodes);
    taken();
}

void exports_howdah_policy_retry_failed(
    howdah_failure *failure, policy_string_t *sql, uint8_t kind, uint64_t digest, uint16_t facts, uint32_t class,
    howdah_retry_decision *ret) {
    howdah_statement asked = statement(sql, kind, digest, facts, class);
    *ret = howdah_retry(failure, &asked);
    // It holds no text that the host would still have to take.
    taken();
}

void exports_howdah_policy_observe_statements(howdah_observations *batch) {
    howdah_observe(batch);
    taken();
}

uint32_t exports_howdah_policy_tick_tick(void) {
    uint32_t next = howdah_tick();
    taken();
    return next;
}

void exports_howdah_policy_state_snapshot(policy_list_u8_t *ret) { *ret = howdah_snapshot(); }

bool exports_howdah_policy_state_restore(policy_list_u8_t *state, policy_string_t *err) {
    return howdah_restore(state, err);
}

// The host has taken an answer: in place of the generated functions, which free its parts one by one.

#define TAKEN(function, name)                                          \
    __attribute__((export_name("cabi_post_howdah:policy/" name)))      \
    void __wasm_export_exports_howdah_policy_##function##_post_return( \
        uint8_t *result) {                                             \
        (void)result;                                                  \
        taken();                                                       \
    }

TAKEN(configure_configure, "configure@0.1.0#configure")
TAKEN(session_open, "session@0.1.0#open")
TAKEN(route_route, "route@0.1.0#route")
TAKEN(rewrite_rewrite, "rewrite@0.1.0#rewrite")
TAKEN(state_snapshot, "state@0.1.0#snapshot")
TAKEN(state_restore, "state@0.1.0#restore")
