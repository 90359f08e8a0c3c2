// Sends reads to replicas, and everything else to the primary.
#include <howdah.h>

// What may write, or locks rows, is not for a replica, even if it is called SELECT.
enum { STAYS = HOWDAH_VOLATILE | HOWDAH_LOCKS_ROWS | HOWDAH_STICKY | HOWDAH_HINT_PRIMARY };

howdah_verdict howdah_route(const howdah_statement *statement) {
    bool read = statement->kind == HOWDAH_READ && !(statement->facts & STAYS);
    // Nothing but kind and facts was looked at: the answer holds for all statements like this one.
    return howdah_by_digest(read ? howdah_replica() : howdah_primary());
}
