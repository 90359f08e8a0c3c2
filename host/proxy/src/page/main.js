// The page: asks once a second, and shows it. When the proxy does not answer it says so, and asks ever more slowly.

import * as history from './history.js';
import { h, short } from './parts.js';
import { Refused, order, tables, visitor } from './proxy.js';
import { Overview } from './overview.js';
import { Policies } from './policies.js';
import { Route } from './route.js';
import { Sessions } from './sessions.js';
import { Statements } from './statements.js';

/** What every view needs. */
const ALWAYS = ['clusters', 'nodes', 'policies', 'latencies'];
/** Milliseconds between two questions: always, while nobody looks, and at most when there is no answer. */
const EVERY = 1000;
const UNSEEN = 5000;
const SLOWEST = 15000;

const find = (id) => document.getElementById(id);
const main = document.querySelector('main');
const lost = { since: null, next: 0, why: '', pause: EVERY };
let views = [];
let current = null;
let timer = null;

/** What operators may do that viewers may not. */
const operator = {
  may: false,
  /** A button for an order, which is asked about first; none for viewers. */
  button(label, wanted, disabled = false) {
    if (!this.may) return '';
    return h('button', { type: 'button', disabled, 'data-order': wanted.order, 'data-question': wanted.question, 'data-consequence': wanted.consequence }, label);
  },
  group: (buttons) => h('span', { class: 'buttons' }, buttons),
};

/** Asks whether it is meant. */
function meant({ question, consequence, order: text }) {
  const dialog = find('confirm');
  find('question').textContent = question;
  find('consequence').textContent = consequence;
  find('order').textContent = text;
  dialog.returnValue = 'no';
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener('close', () => resolve(dialog.returnValue === 'yes'), { once: true });
  });
}

async function give(wanted) {
  if (!(await meant(wanted))) return;
  tell(`${wanted.order} …`);
  try {
    await order(wanted.order);
    tell(`Done: ${wanted.order}`);
  } catch (error) {
    tell(`Not done: ${error.message}`, 'wrong');
  }
  ask();
}

function tell(text, kind = '') {
  const told = find('told');
  Object.assign(told, { textContent: text, className: kind, hidden: false });
  clearTimeout(told.timer);
  told.timer = setTimeout(() => { told.hidden = true; }, 8000);
}

async function ask() {
  clearTimeout(timer);
  const view = current;
  try {
    const told = await tables([...new Set([...ALWAYS, ...view.tables])]);
    heard();
    history.take(Date.now() / 1000, told);
    summarize(told);
    if (view === current) view.show(told);
  } catch (error) {
    unheard(error);
  }
  clearTimeout(timer);
  timer = setTimeout(ask, lost.since === null ? (document.hidden ? UNSEEN : EVERY) : lost.pause);
}

function heard() {
  if (lost.since !== null) history.gap();
  Object.assign(lost, { since: null, pause: EVERY });
  document.body.classList.remove('old');
  find('lost').hidden = true;
  find('pulse').classList.toggle('beat');
}

function unheard(error) {
  lost.since ??= new Date();
  lost.why = error instanceof Refused ? `refuses: ${error.message}` : 'does not answer';
  lost.pause = Math.min(lost.pause * 2, SLOWEST);
  history.gap();
  views.forEach((view) => view.rest?.());
  document.body.classList.add('old');
  document.title = 'howdah – lost';
  find('lost').hidden = false;
  find('lost').replaceChildren(
    h('b', {}, `The proxy ${lost.why}. `), `Nothing was heard of it since ${lost.since.toLocaleTimeString()}: what is shown is from before. `,
    h('button', { type: 'button', onclick: ask }, 'Ask now'));
}

function summarize({ clusters, nodes }) {
  const bad = clusters.filter((cluster) => !cluster.writable && !cluster.paused);
  const down = nodes.filter((node) => !node.up).length;
  const waiting = clusters.reduce((sum, cluster) => sum + cluster.waiting + cluster.held, 0);
  const parts = [
    bad.length > 0 ? `no primary in ${bad.map((cluster) => cluster.cluster).join(', ')}` : null,
    down > 0 ? `${down} of ${nodes.length} nodes down` : `${nodes.length} nodes up`,
    ...clusters.filter((cluster) => cluster.paused).map((cluster) => `${cluster.cluster} is paused`),
    waiting > 0 ? `${short(waiting)} wait` : null,
  ];
  const text = parts.filter(Boolean).join(' · ');
  const summary = find('summary');
  if (summary.textContent !== text) summary.textContent = text;
  summary.className = bad.length > 0 ? 'bad' : down > 0 ? 'odd' : 'good';
  document.title = `howdah – ${text}`;
}

function go() {
  const view = views.find(({ id }) => `#${id}` === location.hash) ?? views[0];
  if (view === current) return;
  current = view;
  main.replaceChildren(view.element);
  for (const link of document.querySelectorAll('nav a')) {
    if (link.hash === `#${view.id}`) link.setAttribute('aria-current', 'page');
    else link.removeAttribute('aria-current');
  }
  ask();
}

/** The system's theme, or the other one. */
function theme() {
  const systems = matchMedia('(prefers-color-scheme: dark)').matches ? 'dark' : 'light';
  const button = find('theme');
  const use = (name) => {
    document.documentElement.dataset.theme = name;
    button.textContent = name === 'dark' ? 'Light' : 'Dark';
    button.setAttribute('aria-label', `Use the ${name === 'dark' ? 'light' : 'dark'} theme`);
  };
  use(localStorage.getItem('theme') ?? systems);
  button.addEventListener('click', () => {
    const other = document.documentElement.dataset.theme === 'dark' ? 'light' : 'dark';
    use(other);
    if (other === systems) localStorage.removeItem('theme');
    else localStorage.setItem('theme', other);
  });
}

/** A digit leads to a view, and a slash to what can be searched. */
function keys(event) {
  if (event.target.matches('input, textarea') || event.ctrlKey || event.metaKey || event.altKey || find('confirm').open) return;
  if (event.key === '/') {
    if (!main.querySelector('input[type=search]')) location.hash = 'sessions';
    go();
    main.querySelector('input[type=search]').focus();
    event.preventDefault();
  }
  const view = views[Number(event.key) - 1];
  if (view) location.hash = view.id;
}

async function begin() {
  theme();
  const who = await visitor();
  operator.may = who.orders;
  const login = h('a', { href: '/login', title: 'Who has not logged in can only look' }, 'Log in');
  find('visitor').append(who.user === null ? login : `${who.user}${who.orders ? '' : ' (looks)'}`);
  views = [new Overview(operator), new Sessions(operator), new Statements(), new Policies(operator), new Route()];
  document.querySelector('nav').append(...views.map(({ id, title }, at) => h('a', { href: `#${id}`, title: `Key ${at + 1}` }, title)));
  document.addEventListener('click', (event) => {
    const button = event.target.closest?.('button[data-order]');
    if (button) give(button.dataset);
  });
  addEventListener('hashchange', go);
  addEventListener('keydown', keys);
  document.addEventListener('visibilitychange', () => { if (!document.hidden) ask(); });
  go();
}

begin().catch((error) => {
  find('lost').hidden = false;
  find('lost').textContent = `The page cannot begin: ${error.message}`;
});
