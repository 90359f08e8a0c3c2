// Who is there, what they do, what they wait for, and why they stay on a server.

import { Grid, badge, h, panel, short, span } from './parts.js';

const STATES = ['waiting', 'active', 'idle in transaction', 'idle', 'login'];
const KINDS = { waiting: 'bad', active: 'good', 'idle in transaction': 'odd' };

export class Sessions {
  id = 'sessions';
  title = 'Sessions';
  tables = ['clients'];
  chosen = null;
  clients = [];

  constructor(operator) {
    const again = () => this.draw();
    this.search = h('input', {
      type: 'search', id: 'search', placeholder: 'user, database, application, address, pin …  ( / )', 'aria-label': 'Search sessions', oninput: again,
    });
    this.filters = h('div', { class: 'filters', role: 'group', 'aria-label': 'States' });
    this.count = h('p', { class: 'count', role: 'status' });
    this.grid = new Grid('Sessions', columns(operator), { nothing: 'No session is like that.', key: (client) => client.id });
    this.element = panel('Sessions', h('div', { class: 'tools' }, this.search, this.filters, this.count), this.grid.element);
  }

  show({ clients }) {
    this.clients = clients;
    this.draw();
  }

  draw() {
    const words = this.search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const fits = (client) => {
      const text = Object.values(client).join(' ').toLowerCase();
      return words.every((word) => text.includes(word));
    };
    const found = this.clients.filter(fits);
    const among = (state) => found.filter((client) => client.state === state);
    this.buttons(among);
    const shown = this.chosen ? among(this.chosen) : found;
    const place = (client) => STATES.indexOf(client.state);
    this.grid.show([...shown].sort((a, b) => place(a) - place(b) || (b.wait ?? 0) - (a.wait ?? 0) || a.id - b.id));
    const total = this.clients.total ?? 0;
    const all = this.clients.length < total ? `, of the first ${short(this.clients.length)}: the console tells all ${short(total)}` : '';
    this.count.textContent = `${shown.length} of ${short(total)} sessions${all}`;
  }

  buttons(among) {
    const choose = (state) => {
      this.chosen = this.chosen === state ? null : state;
      this.draw();
    };
    if (this.filters.childElementCount === 0) {
      this.filters.append(...STATES.map((state) => h('button', { type: 'button', onclick: () => choose(state) })));
    }
    STATES.forEach((state, at) => {
      const button = this.filters.children[at];
      button.textContent = `${state} ${among(state).length}`;
      button.setAttribute('aria-pressed', this.chosen === state);
    });
  }
}

function columns(operator) {
  const orders = ({ id, user, state }) => operator.group([
    operator.button('Cancel', {
      question: `Cancel what session ${id} of ${user} does?`,
      consequence: 'Its statement ends with an error; the session stays.',
      order: `KILL QUERY ${id}`,
    }, state !== 'active'),
    operator.button('End', {
      question: `End session ${id} of ${user}?`,
      consequence: 'Its statement is cancelled, and its connection closed.',
      order: `KILL ${id}`,
    }),
  ]);
  const waits = ({ waits_for: server, wait }) => (server ? `${server}, ${span(wait)}` : '');
  return [
    { name: 'id', cell: (client) => client.id, kind: 'number' },
    { name: 'user', cell: (client) => client.user, kind: 'name' },
    { name: 'database', cell: (client) => client.database },
    { name: 'application', cell: (client) => client.application_name, kind: 'text' },
    { name: 'from', cell: (client) => client.addr },
    { name: 'state', cell: (client) => badge(client.state, KINDS[client.state]) },
    { name: 'for', cell: (client) => span(client.seconds), kind: 'number' },
    { name: 'waits for', cell: waits },
    { name: 'server', cell: (client) => (client.node ? `${client.node} (${client.server_pid})` : '') },
    { name: 'stays, because', cell: (client) => client.pin ?? '', kind: 'text' },
    { name: 'batches', cell: (client) => short(client.batches), kind: 'number' },
    { name: 'age', cell: (client) => span(client.age), kind: 'number' },
    { name: '', cell: orders, kind: 'act' },
  ];
}
