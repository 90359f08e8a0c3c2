// Pieces that all views are made of. What the proxy tells becomes text, never markup.

const SVG = 'http://www.w3.org/2000/svg';

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith('on')) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, '');
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, value);
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** An element of HTML. */
export const h = (name, attributes = {}, ...children) => fill(document.createElement(name), attributes, children);

/** An element of SVG. */
export const s = (name, attributes = {}, ...children) => fill(document.createElementNS(SVG, name), attributes, children);

/** A number, short: 1.2k. */
export function short(number) {
  if (number === null || number === undefined) return '–';
  for (const [size, unit] of [[1e9, 'G'], [1e6, 'M'], [1e4, 'k']]) {
    if (Math.abs(number) >= size) return `${(number / (unit === 'k' ? 1e3 : size)).toFixed(number < 10 * size ? 1 : 0)}${unit}`;
  }
  return Number.isInteger(number) ? String(number) : number.toFixed(number < 10 ? 1 : 0);
}

/** A time in seconds. */
export function span(seconds) {
  if (seconds === null || seconds === undefined) return '–';
  if (seconds === 0) return '0 s';
  if (seconds < 0.001) return `${(seconds * 1e6).toFixed(0)} µs`;
  if (seconds < 1) return `${(seconds * 1e3).toFixed(seconds < 0.01 ? 1 : 0)} ms`;
  if (seconds < 120) return `${seconds.toFixed(seconds < 10 && seconds % 1 ? 1 : 0)} s`;
  if (seconds < 7200) return `${Math.floor(seconds / 60)} min`;
  return seconds < 172800 ? `${Math.floor(seconds / 3600)} h` : `${Math.floor(seconds / 86400)} d`;
}

/** A size in bytes. */
export function size(bytes) {
  if (bytes === null || bytes === undefined) return '–';
  if (bytes < 1024) return `${bytes} B`;
  const power = Math.min(Math.floor(Math.log2(bytes) / 10), 4);
  return `${(bytes / 1024 ** power).toFixed(1)} ${['', 'kB', 'MB', 'GB', 'TB'][power]}`;
}

/** A word that stands out. */
export const badge = (text, kind = '') => h('span', { class: `badge ${kind}` }, text);

/** A part of a view under a heading. */
export const panel = (title, ...children) =>
  h('section', { class: 'panel', 'aria-label': title }, h('h2', {}, title), ...children);

/** What is said where there is nothing to show. */
export const empty = (text) => h('p', { class: 'empty' }, text);

/** A table. A column is its name, what a row shows there, and perhaps a class; `key` says which rows are the same. */
export class Grid {
  constructor(caption, columns, { nothing, key }) {
    Object.assign(this, { columns, key });
    this.body = h('tbody');
    const heads = columns.map(({ name, kind, about }) => h('th', { scope: 'col', class: kind, title: about }, name));
    this.table = h('table', {}, h('caption', { class: 'unseen' }, caption), h('thead', {}, h('tr', {}, heads)), this.body);
    this.nothing = empty(nothing);
    this.element = h('div', { class: 'scroll', tabindex: 0, role: 'region', 'aria-label': caption }, this.table, this.nothing);
  }

  /** Shows these rows; elements of rows that stay are kept, so that focus and selection are. */
  show(rows) {
    this.table.hidden = rows.length === 0;
    this.nothing.hidden = rows.length > 0;
    const kept = new Map([...this.body.rows].map((row) => [row.dataset.key, row]));
    let at = this.body.firstElementChild;
    for (const row of rows) {
      const key = String(this.key(row));
      const line = kept.get(key) ?? h('tr', { 'data-key': key }, this.columns.map(({ kind }) => h('td', { class: kind })));
      kept.delete(key);
      this.columns.forEach((column, place) => set(line.cells[place], column.cell(row)));
      if (line === at) at = at.nextElementSibling;
      else this.body.insertBefore(line, at);
    }
    kept.forEach((line) => line.remove());
  }
}

/** Puts something into an element unless it is there already. */
export function set(element, content) {
  const text = content instanceof Node ? content.outerHTML : String(content ?? '');
  if (element.shown === text) return;
  element.shown = text;
  element.replaceChildren(content ?? '');
}
