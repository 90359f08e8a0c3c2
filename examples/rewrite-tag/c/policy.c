// A SELECT whose comment has the tag `cap` gets a LIMIT, if it has none: an application caps what its reports may
// return by `SELECT … /* cap='1000' */`.
#include <howdah.h>

// Longest cap, in digits.
enum { MAX_DIGITS = 9 };

static uint8_t lower(uint8_t byte) { return byte >= 'A' && byte <= 'Z' ? byte + 32 : byte; }

// Whether `word`, in lower case, stands at `at`, in whatever case.
static bool stands(howdah_text text, size_t at, const char *word) {
    size_t length = strlen(word);
    if (text.len - at < length) return false;
    for (size_t i = 0; i < length; i++)
        if (lower(text.ptr[at + i]) != (uint8_t)word[i]) return false;
    return true;
}

static bool contains(howdah_text text, const char *word) {
    for (size_t at = 0; at < text.len; at++)
        if (stands(text, at, word)) return true;
    return false;
}

static bool is_number(howdah_text text) {
    if (text.len == 0 || text.len > MAX_DIGITS) return false;
    for (size_t i = 0; i < text.len; i++)
        if (text.ptr[i] < '0' || text.ptr[i] > '9') return false;
    return true;
}

static howdah_text trimmed(howdah_text text) {
    while (text.len > 0 && memchr(" \t\r\n;", text.ptr[text.len - 1], 5)) text.len--;
    return text;
}

howdah_rewritten howdah_rewrite(const howdah_statement *statement) {
    if (statement->kind != HOWDAH_READ || statement->facts & (HOWDAH_SEVERAL | HOWDAH_LOCKS_ROWS | HOWDAH_COPY))
        return howdah_unchanged(HOWDAH_BY_DIGEST);
    howdah_text cap, text = trimmed(statement->sql);
    bool simple = stands(text, 0, "select") && !contains(text, "limit") && !contains(text, "fetch") &&
                  !contains(text, "--");
    // The LIMIT can simply be put behind.
    if (howdah_tag("cap", &cap) && is_number(cap) && simple)
        return howdah_changed(howdah_join(howdah_join(text, howdah_text_of(" LIMIT ")), cap), HOWDAH_BY_TEXT);
    return howdah_unchanged(HOWDAH_BY_TEXT);
}
