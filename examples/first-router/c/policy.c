// Reads go to replicas, everything else to the primary.
#include <howdah.h>

howdah_verdict howdah_route(const howdah_statement *statement) {
    return howdah_by_digest(statement->kind == HOWDAH_READ ? howdah_replica() : howdah_primary());
}
