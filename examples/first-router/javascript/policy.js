// Reads go to replicas, everything else to the primary.
import { primary, replica } from 'howdah';

export function route(statement) {
  return statement.kind === 'read' ? replica().byDigest() : primary().byDigest();
}
