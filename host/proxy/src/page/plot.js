// Lines over time, as SVG.

import { times } from './history.js';
import { h, s } from './parts.js';

/** In pixels, as all that is here. */
const HEIGHT = 104;
const LEFT = 52;
const BOTTOM = 18;
const TOP = 8;
/** As long is what is shown, in seconds. */
const SPAN = 300;

/** A round number that is not less. */
function round(value) {
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 5, 10].find((step) => step * power >= value) * power;
}

/** A plot of some lines: `{ name, kind, values }`, drawn anew by `show`. */
export class Plot {
  constructor(title, { format, least, nothing }) {
    Object.assign(this, { title, format, least, lines: [], under: null });
    this.drawing = s('svg', { height: HEIGHT, role: 'img', class: 'plot' });
    this.legend = h('ul', { class: 'legend' });
    this.nothing = nothing;
    const over = (event) => this.point(event.clientX - this.drawing.getBoundingClientRect().left);
    this.element = h('figure', {}, h('figcaption', {}, h('h2', {}, title), this.legend),
      h('div', { onpointermove: over, onpointerleave: () => this.point(null) }, this.drawing));
    new ResizeObserver(() => this.draw()).observe(this.drawing);
  }

  point(x) {
    this.under = x;
    this.draw();
  }

  show(lines) {
    this.lines = lines;
    this.draw();
  }

  draw() {
    const width = this.drawing.clientWidth;
    if (width <= LEFT) return;
    const end = times.at(-1) ?? 0;
    const x = (at) => width - 1 - ((end - at) / SPAN) * (width - LEFT);
    const values = this.lines.flatMap((line) => line.values).filter((value) => value !== null);
    const most = round(Math.max(this.least, ...values));
    const y = (value) => HEIGHT - BOTTOM - (value / most) * (HEIGHT - BOTTOM - TOP);
    const marks = [0, 0.5, 1].map((part) => [
      s('line', { x1: LEFT, x2: width, y1: y(part * most), y2: y(part * most), class: 'rule' }),
      s('text', { x: LEFT - 6, y: y(part * most) + 3.5, class: 'mark end' }, this.format(part * most)),
    ]);
    const minutes = [4, 3, 2, 1].map((minute) =>
      s('text', { x: x(end - minute * 60), y: HEIGHT - 4, class: 'mark middle' }, `−${minute} min`));
    const at = this.nearest(x);
    const paths = this.lines.map((line) => trace(line, x, y));
    const pointer = this.under === null ? [] : [
      s('line', { x1: x(times[at]), x2: x(times[at]), y1: TOP, y2: HEIGHT - BOTTOM, class: 'pointer' }),
    ];
    this.drawing.replaceChildren(...marks.flat(), ...minutes, ...paths.flat(), ...pointer);
    this.tell(at, values.length > 0);
  }

  /** The sample under the pointer, else the newest. */
  nearest(x) {
    if (this.under === null) return times.length - 1;
    const far = (at) => Math.abs(x(times[at]) - this.under);
    return times.reduce((best, _, at) => (far(at) < far(best) ? at : best), 0);
  }

  tell(at, any) {
    const told = this.lines.map((line) => [line, this.format(line.values[at] ?? null)]);
    const ago = Math.round((times.at(-1) ?? 0) - (times[at] ?? 0));
    const items = told.map(([line, value]) => h('li', { class: line.kind }, `${line.name} `, h('b', {}, value)));
    this.legend.replaceChildren(...(any ? items : [h('li', { class: 'none' }, this.nothing)]),
      ...(ago > 0 ? [h('li', { class: 'none' }, `${ago} s ago`)] : []));
    const text = told.map(([line, value]) => `${line.name} ${value}`).join(', ');
    this.drawing.setAttribute('aria-label', `${this.title}: ${any ? text : this.nothing}`);
  }
}

/** The line and what is below it, in pieces where values are missing. */
function trace({ kind, values }, x, y) {
  const pieces = [];
  let piece = [];
  values.forEach((value, at) => {
    if (value !== null) piece.push(`${x(times[at]).toFixed(1)},${y(value).toFixed(1)}`);
    if ((value === null || at === values.length - 1) && piece.length > 0) {
      pieces.push(piece);
      piece = [];
    }
  });
  return pieces.flatMap((points) => {
    const foot = (point) => `${point.split(',')[0]},${y(0)}`;
    return [
      s('polygon', { points: [foot(points[0]), ...points, foot(points.at(-1))].join(' '), class: `area ${kind}` }),
      s('polyline', { points: points.join(' '), class: `line ${kind}` }),
    ];
  });
}
