// Which statements cost what.

import { Grid, badge, h, panel, short, span } from './parts.js';

const number = (name, cell, about) => ({ name, cell, about, kind: 'number' });
const time = (name, column, about) => number(name, (row) => span(row[column] === null ? null : row[column] / 1000), about);

/** The share of calls that ran on replicas. */
function split({ on_primary: primary, on_replica: replica }) {
  const all = primary + replica;
  return all > 0 ? `${Math.round((100 * replica) / all)} %` : '–';
}

const columns = [
  { name: 'statement', cell: (row) => row.text, kind: 'statement' },
  { name: 'kind', cell: (row) => row.kind },
  { name: 'database', cell: (row) => row.database },
  number('calls', (row) => short(row.calls)),
  number('errors', (row) => (row.errors ? badge(short(row.errors), 'bad') : 0)),
  number('rows', (row) => short(row.rows)),
  number('on replicas', split),
  time('in all', 'total_ms', 'Waits included'),
  time('waits', 'wait_ms', 'Of this, waiting for servers'),
  time('mean', 'mean_ms'),
  time('95 %', 'p95_ms', 'What 95 of 100 calls did not exceed, about'),
  time('longest', 'max_ms'),
  { name: 'digest', cell: (row) => h('code', {}, row.digest) },
];

export class Statements {
  id = 'statements';
  title = 'Statements';
  tables = ['statements'];
  rows = [];

  constructor() {
    this.search = h('input', { type: 'search', placeholder: 'part of a statement, a digest …  ( / )', 'aria-label': 'Search statements', oninput: () => this.draw() });
    this.grid = new Grid('Statements', columns, {
      nothing: 'No statement is like that.', key: (row) => [row.cluster, row.database, row.digest].join('\0'),
    });
    this.element = panel('Statements', h('div', { class: 'tools' }, this.search), this.grid.element);
  }

  show({ statements }) {
    this.rows = statements;
    this.draw();
  }

  draw() {
    const words = this.search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const fits = (row) => {
      const text = Object.values(row).join(' ').toLowerCase();
      return words.every((word) => text.includes(word));
    };
    this.grid.show(this.rows.filter(fits));
  }
}
