// A SELECT whose comment has the tag `cap` gets a LIMIT, if it has none: an application caps what its reports may
// return by `SELECT … /* cap='1000' */`.
import { changed, tag, unchanged } from 'howdah';
import type { Rewritten, Statement } from 'howdah';

export function rewrite({ sql, kind, facts }: Statement): Rewritten {
  if (kind !== 'read' || facts.several || facts.locksRows || facts.copy) return unchanged('digest');
  const cap = tag('cap');
  const text = cap === undefined ? undefined : capped(sql, cap);
  return text === undefined ? unchanged('text') : changed(text, 'text');
}

/** The text with a LIMIT; nothing when it cannot simply be put behind. */
function capped(sql: string, cap: string): string | undefined {
  const text = sql.replace(/[ \t\r\n;]+$/, '');
  const simple = /^select/i.test(text) && !/limit|fetch|--/i.test(text);
  return simple && /^[0-9]{1,9}$/.test(cap) ? `${text} LIMIT ${cap}` : undefined;
}
