// Reads of the users in the setting `users` go to replicas, everything else to the primary.
//
// The users are looked up once per client, who get class 1. So an answer can be remembered by digest and class.
#include <howdah.h>

enum { LISTED = 1 };

static howdah_texts users;

bool howdah_configure(const howdah_settings *settings, howdah_text *error) {
    for (size_t i = 0; i < settings->len; i++)
        if (!howdah_is(settings->ptr[i].f0, "users")) {
            *error = howdah_join(howdah_text_of("the only setting is users, not "), settings->ptr[i].f0);
            return false;
        }
    howdah_texts found;
    if (!howdah_setting_texts(settings, "users", &found, error)) return false;
    users.ptr = howdah_keep(found.ptr, found.len * sizeof *found.ptr);
    users.len = found.len;
    for (size_t i = 0; i < users.len; i++) users.ptr[i] = howdah_keep_text(users.ptr[i]);
    return true;
}

howdah_session_decision howdah_session(const howdah_client *client) {
    for (size_t i = 0; i < users.len; i++)
        if (howdah_same(users.ptr[i], client->user)) return howdah_accept((howdah_admission){.class_ = LISTED});
    return howdah_no_opinion_of_session();
}

howdah_verdict howdah_route(const howdah_statement *statement) {
    bool to_replica = statement->session_class == LISTED && statement->kind == HOWDAH_READ;
    return howdah_remembered(to_replica ? howdah_replica() : howdah_primary(), HOWDAH_BY_DIGEST_AND_CLASS);
}
