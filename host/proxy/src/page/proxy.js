// What is asked of the proxy: tables, explanations, orders.

/** The proxy has answered, and refuses. */
export class Refused extends Error {
  constructor(answer) {
    super([answer.error, ...answer.more].join(' '));
  }
}

/** Longest wait for an answer to a question, in milliseconds. Orders may wait for statements to end. */
const PATIENCE = 5000;

async function ask(path, options = {}) {
  const response = await fetch(path, { cache: 'no-store', ...options });
  // The browser asks who it is.
  if (response.status === 401) throw new Error('the proxy wants to know who you are: load the page again');
  const answer = await response.json();
  if (!response.ok) throw new Refused(answer);
  return answer;
}

/** A row has its values under the names of the columns. */
function read({ columns, rows, total }) {
  const object = (row) => Object.fromEntries(columns.map((column, at) => [column, row[at]]));
  return Object.assign(rows.map(object), { total });
}

/** Tables by their names. */
export async function tables(names) {
  const answer = await ask(`/api/${names.join(',')}`, { signal: AbortSignal.timeout(PATIENCE) });
  return Object.fromEntries(Object.entries(answer).map(([name, table]) => [name, read(table)]));
}

/** Who looks at the page, and whether it may give orders. */
export const visitor = () => ask('/api/visitor');

/** Where a statement would go. */
export async function explain(sql, user, database) {
  const { explain } = await ask(`/api/explain?${new URLSearchParams({ sql, user, database })}`);
  return read(explain);
}

/** Gives an order, as at the console. */
export function order(text) {
  const headers = { 'Content-Type': 'application/json' };
  return ask('/api/order', { method: 'POST', headers, body: JSON.stringify({ order: text }) });
}

/** A text in the console's quotes. */
export const quoted = (text) => `'${String(text).replaceAll("'", "''")}'`;
