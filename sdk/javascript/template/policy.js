// Sends reads to replicas, and everything else to the primary.
import { primary, replica } from 'howdah';

export function route({ kind, facts }) {
  // What may write, or locks rows, is not for a replica, even if it is called SELECT.
  const stays = facts.volatile || facts.locksRows || facts.sticky || facts.hintPrimary;
  // Nothing but kind and facts was looked at: the answer holds for all statements like this one.
  return (kind === 'read' && !stays ? replica() : primary()).byDigest();
}
