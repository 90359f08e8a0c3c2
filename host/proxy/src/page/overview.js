// How it is: the picture, throughput, waits, pools, nodes, and what became of primaries.

import { SHARES, line, named, now } from './history.js';
import { Grid, badge, empty, h, panel, s, set, short, size, span } from './parts.js';
import { Picture } from './picture.js';
import { Plot } from './plot.js';
import { quoted } from './proxy.js';

const perSecond = (value) => (value === null ? '–' : `${short(value)}/s`);

/** Colours of lines. */
const KINDS = ['one', 'two', 'three', 'four'];

/** Columns of numbers. */
const number = (name, cell, about) => ({ name, cell, about, kind: 'number' });

function state(node) {
  if (!node.up) return badge('down', 'bad');
  return node.note ? badge(node.note, 'odd') : badge('up', 'good');
}

export class Overview {
  id = 'overview';
  title = 'Overview';
  tables = ['pools', 'failovers', 'limits'];

  constructor(operator) {
    this.picture = new Picture();
    this.throughput = new Plot('Throughput', { format: perSecond, least: 10, nothing: 'two samples make a rate' });
    this.latency = new Plot('Latency', { format: span, least: 0.001, nothing: 'nothing was asked' });
    this.waits = new Plot('Waits', { format: (value) => short(value), least: 5, nothing: 'nothing yet' });
    this.lag = new Plot('Lag', { format: span, least: 0.01, nothing: 'no replica tells its lag' });
    this.nodes = new Grid('Nodes', nodeColumns(operator), { nothing: 'There are no nodes.', key: (node) => node.node });
    this.clusters = new Grid('Clusters', clusterColumns(operator), { nothing: 'There are no clusters.', key: (row) => row.cluster });
    this.pools = new Grid('Pools', poolColumns, {
      nothing: 'No pool yet: no client has needed a server.',
      key: (pool) => [pool.cluster, pool.node, pool.database, pool.user].join('\0'),
    });
    this.failovers = h('div');
    this.element = h('div', { class: 'overview' },
      h('section', { class: 'panel wide', 'aria-label': 'Topology' }, this.picture.element, key()),
      h('section', { class: 'panel plots', 'aria-label': 'Over time' }, this.throughput.element, this.latency.element, this.waits.element, this.lag.element),
      panel('Clusters and nodes', this.clusters.element, this.nodes.element),
      panel('Pools and waits', this.pools.element),
      panel('Failovers', this.failovers));
  }

  /** Nothing is known any more. */
  rest() {
    this.picture.rest();
  }

  show({ clusters, nodes, pools, failovers, limits }) {
    const clients = limits.find((row) => row.limit === 'limits.max_clients')?.now ?? null;
    this.picture.show({ clusters, nodes, clients });
    this.throughput.show([
      { name: 'reads', kind: 'one', values: line('reads') },
      { name: 'others', kind: 'two', values: line('others') },
    ]);
    this.latency.show(SHARES.map(([name], at) => ({ name, kind: KINDS[at], values: line(name) })));
    this.waits.show([
      { name: 'for a connection', kind: 'three', values: line('waiting') },
      { name: 'for a node', kind: 'four', values: line('held') },
    ]);
    const lags = named('lag ');
    this.lag.show(lags.slice(0, KINDS.length).map((name, at) => ({ name: name.slice(4), kind: KINDS[at], values: line(name) })));
    this.clusters.show(clusters);
    this.nodes.show(nodes);
    this.pools.show([...pools].sort((a, b) => b.cl_waiting - a.cl_waiting));
    set(this.failovers, failovers.length > 0 ? h('div', {}, together(failovers).map(told)) : empty('No primary has been in doubt since the proxy was started.'));
  }
}

function key() {
  return h('ul', { class: 'legend key' },
    h('li', { class: 'one' }, 'reads'), h('li', { class: 'two' }, 'all other batches'),
    h('li', { class: 'none' }, 'ten times the traffic is two dots a second more'));
}

function clusterColumns(operator) {
  const order = ({ cluster, paused }) => operator.button(paused ? 'Resume' : 'Pause', {
    question: paused ? `Resume ${cluster}?` : `Pause ${cluster}?`,
    consequence: paused ? 'Statements that wait go on.' : 'Statements wait until it is resumed; those under way end first.',
    order: `${paused ? 'RESUME' : 'PAUSE'} ${quoted(cluster)}`,
  });
  const health = ({ paused, writable }) =>
    paused ? badge('paused', 'odd') : badge(writable ? 'writable' : 'no primary', writable ? 'good' : 'bad');
  return [
    { name: 'cluster', cell: (row) => row.cluster, kind: 'name' },
    { name: 'state', cell: health },
    { name: 'primary', cell: (row) => row.primary ?? '–' },
    number('up', (row) => `${row.up} of ${row.nodes}`),
    number('held now', (row) => row.held, 'Statements that wait because there is no node for them'),
    number('so far', (row) => row.held_so_far, 'Statements that have had to wait so'),
    number('waiting', (row) => row.waiting, 'Sessions that wait for a connection'),
    number('failovers', (row) => row.failovers),
    { name: '', cell: order, kind: 'act' },
  ];
}

function nodeColumns(operator) {
  const order = ({ node, note }) => {
    const drained = /drained/.test(note ?? '');
    return operator.button(drained ? 'Undrain' : 'Drain', {
      question: drained ? `Undrain ${node}?` : `Drain ${node}?`,
      consequence: drained ? 'It gets statements again.' : 'It gets no more statements, and its connections are closed as they come free.',
      order: `${drained ? 'UNDRAIN' : 'DRAIN'} ${quoted(node)}`,
    });
  };
  return [
    { name: 'node', cell: (node) => node.node, kind: 'name' },
    { name: 'role', cell: (node) => badge(node.role, node.role) },
    { name: 'state', cell: state },
    number('timeline', (node) => node.timeline ?? '–'),
    number('lag', (node) => (node.role === 'replica' ? span(node.lag) : '–')),
    number('to replay', (node) => (node.role === 'replica' ? size(node.lag_bytes) : '–')),
    number('reads', (node) => perSecond(now(`reads ${node.node}`))),
    number('others', (node) => perSecond(now(`others ${node.node}`))),
    number('95 %', (node) => span(node.p95_ms === null ? null : node.p95_ms / 1000), 'What 95 of 100 batches did not exceed so far, waits included'),
    number('busy', (node) => `${node.busy} of ${node.open}`, 'Connections that sessions have'),
    number('waiting', (node) => node.waiting, 'Sessions that wait for a connection'),
    { name: '', cell: order, kind: 'act' },
  ];
}

const poolColumns = [
  { name: 'user', cell: (pool) => pool.user, kind: 'name' },
  { name: 'database', cell: (pool) => pool.database },
  { name: 'node', cell: (pool) => pool.node },
  { name: 'fullness', cell: fullness, about: 'Connections that sessions have, that are idle, and that could be' },
  number('active', (pool) => pool.sv_active, 'Connections that sessions have'),
  number('idle', (pool) => pool.sv_idle),
  number('most', (pool) => pool.pool_size),
  number('waiting', (pool) => (pool.cl_waiting ? badge(pool.cl_waiting, 'odd') : 0), 'Sessions that wait for a connection'),
  number('longest wait', (pool) => (pool.cl_waiting ? span(pool.maxwait + pool.maxwait_us / 1e6) : '–')),
  { name: 'mode', cell: (pool) => pool.pool_mode },
];

function fullness({ sv_active: active, sv_idle: idle, pool_size: most }) {
  const part = (count) => (100 * count) / most;
  return s('svg', { viewBox: '0 0 100 8', class: 'gauge', preserveAspectRatio: 'none', role: 'img', 'aria-label': `${active} of ${most} active` },
    s('rect', { width: 100, height: 8, class: 'rest' }),
    s('rect', { width: part(active + idle), height: 8, class: 'idle' }),
    s('rect', { width: part(active), height: 8, class: active >= most ? 'full' : 'active' }));
}

/** Events of one failover, the newest failover first. */
function together(events) {
  const all = [];
  for (const event of events) {
    const last = all.at(-1)?.at(-1);
    const later = event.after_ms === null || (event.after_ms > 0 && last?.after_ms !== null && event.after_ms >= last?.after_ms);
    const same = last && last.cluster === event.cluster && later;
    if (same) all.at(-1).push(event);
    else all.push([event]);
  }
  return all.sort((a, b) => a[0].seconds_ago - b[0].seconds_ago);
}

function told(all) {
  const events = all.filter((event) => event.after_ms !== null);
  const toll = all.find((event) => event.after_ms === null);
  const [first, last] = [events[0], events.at(-1)];
  const over = last.event === 'is the primary';
  const longest = Math.max(last.after_ms, 1);
  const x = (event) => 8 + (event.after_ms / longest) * 584;
  const kind = (event) => (event === first ? 'doubt' : event.event === 'is the primary' ? 'found' : 'lost');
  return h('article', { class: 'failover' },
    h('h3', {}, `${first.cluster}: ${first.node} `, over ? `→ ${last.node}` : badge('no primary yet', 'bad'),
      h('small', {}, ` ${span(first.seconds_ago)} ago`, over ? `, ${span(last.after_ms / 1000)} without` : '')),
    s('svg', { viewBox: '0 0 600 16', class: 'track', 'aria-hidden': 'true' },
      s('line', { x1: 8, x2: 592, y1: 8, y2: 8 }),
      events.map((event) => s('circle', { cx: x(event), cy: 8, r: 5, class: kind(event) }))),
    h('ol', {}, events.map((event) => h('li', { class: kind(event) },
      h('b', {}, `+${span(event.after_ms / 1000)}`), ` ${event.node ?? '?'}, timeline ${event.timeline}: ${event.event}`))),
    toll ? h('p', { class: 'toll' }, toll.event) : '');
}
