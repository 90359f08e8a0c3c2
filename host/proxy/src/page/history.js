// What was seen since the page was opened: counters become rates, and rates become lines.

/** As many samples are kept: five minutes. */
const MOST = 300;
/** Which shares of all statements are told how long they took at most. */
export const SHARES = [['half', 0.5], ['95 %', 0.95], ['99 %', 0.99]];

/** Samples of one second each; the times are in seconds since 1970. */
export const times = [];
const lines = new Map();
let before = null;

/** Values of a line, one for each time; null where there was none. */
export const line = (name) => lines.get(name) ?? times.map(() => null);

/** The newest value of a line. */
export const now = (name) => line(name).at(-1) ?? null;

/** Names of lines that begin so. */
export const named = (prefix) => [...lines.keys()].filter((name) => name.startsWith(prefix));

function put(name, value) {
  if (!lines.has(name)) lines.set(name, times.map(() => null));
  lines.get(name)[times.length - 1] = value;
}

function sum(rows, column) {
  return rows.reduce((sum, row) => sum + (row[column] ?? 0), 0);
}

/** The time in seconds that this share of some did not exceed, about: within a bucket all are taken to be spread evenly. */
function quantile(buckets, share) {
  const wanted = share * sum(buckets, 'batches');
  let before = 0;
  for (const { over_ms: low, up_to_ms: high, batches } of buckets) {
    if (batches > 0 && before + batches >= wanted) return (low + ((wanted - before) / batches) * ((high ?? low) - low)) / 1000;
    before += batches;
  }
  return null;
}

/** How many took how long on all nodes together: buckets, by size. */
function together(latencies) {
  const buckets = new Map();
  for (const row of latencies) {
    const before = buckets.get(row.over_ms);
    buckets.set(row.over_ms, { ...row, batches: row.batches + (before?.batches ?? 0) });
  }
  return buckets;
}

/** A gap in all lines: nobody knows what happened meanwhile. */
export function gap() {
  before = null;
}

/** Takes what the tables say now. */
export function take(at, { nodes, clusters, policies, latencies }) {
  times.push(at);
  lines.forEach((values) => values.push(null));
  const counters = new Map();
  for (const node of nodes) {
    counters.set(`reads ${node.node}`, node.reads);
    counters.set(`others ${node.node}`, node.others);
    if (node.role === 'replica') put(`lag ${node.node}`, node.lag);
    put(`busy ${node.node}`, node.busy);
  }
  for (const policy of policies) counters.set(`calls ${policy.policy}`, policy.calls);
  counters.set('reads', sum(nodes, 'reads'));
  counters.set('others', sum(nodes, 'others'));
  for (const [name, count] of counters) {
    const then = before?.counters.get(name);
    // A proxy that was started anew counts from zero.
    if (then !== undefined && count >= then) put(name, (count - then) / (at - before.at));
  }
  const buckets = together(latencies);
  if (before) {
    const since = [...buckets.values()].map((bucket) => {
      const then = before.buckets.get(bucket.over_ms)?.batches ?? 0;
      return { ...bucket, batches: Math.max(bucket.batches - then, 0) };
    });
    since.sort((a, b) => a.over_ms - b.over_ms);
    for (const [name, share] of SHARES) put(name, quantile(since, share));
  }
  put('waiting', sum(clusters, 'waiting'));
  put('held', sum(clusters, 'held'));
  before = { at, counters, buckets };
  if (times.length > MOST) {
    times.shift();
    lines.forEach((values) => values.shift());
  }
}
