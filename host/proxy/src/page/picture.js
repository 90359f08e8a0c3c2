// Clusters as a moving picture: clients, the proxy, the nodes, and what flows between them.

import { now } from './history.js';
import { s, short, size, span } from './parts.js';

const WIDTH = 760;
/** A node has so much room, and at most so much where there are few. */
const ROW = 74;
const ROOMY = 128;
/** The picture is so high if it can be. */
const HEIGHT = 430;
const CARD = { x: 492, width: 262, height: 58 };
const PROXY = { x: 268, width: 104, height: 64 };
const CLIENTS = { x: 6, width: 104, height: 64 };
/** A dot is so long on its way, in seconds. */
const JOURNEY = 1.3;
const calm = matchMedia('(prefers-reduced-motion: reduce)');

/** Dots per second for so many batches per second: ten times the traffic is two dots more. */
const density = (rate) => (rate > 0 ? 0.6 + 2.1 * Math.log10(1 + rate) : 0);

/** The way from one place to another, and the dots on it. */
class Way {
  constructor(layer) {
    this.layer = layer;
    this.dots = [];
    this.due = { read: 0, other: 0 };
    this.rates = { read: 0, other: 0 };
  }

  lead(from, to) {
    const middle = (from.x + to.x) / 2;
    this.points = [from, { x: middle, y: from.y }, { x: middle, y: to.y }, to];
    const [a, b, c, d] = this.points.map(({ x, y }) => `${x},${y}`);
    return `M${a} C${b} ${c} ${d}`;
  }

  place(part) {
    const rest = 1 - part;
    const weights = [rest ** 3, 3 * rest ** 2 * part, 3 * rest * part ** 2, part ** 3];
    const along = (axis) => weights.reduce((sum, weight, at) => sum + weight * this.points[at][axis], 0);
    return { x: along('x'), y: along('y') };
  }

  empty() {
    this.dots.forEach((dot) => dot.circle.remove());
    this.dots = [];
  }

  step(seconds) {
    for (const kind of ['read', 'other']) {
      this.due[kind] += density(this.rates[kind]) * seconds;
      while (this.due[kind] >= 1) {
        this.due[kind] -= 1;
        const circle = s('circle', { r: 3, class: `dot ${kind}` });
        this.layer.append(circle);
        this.dots.push({ circle, part: 0, off: (Math.random() - 0.5) * 5 });
      }
    }
    this.dots = this.dots.filter((dot) => {
      dot.part += seconds / JOURNEY;
      if (dot.part >= 1) {
        dot.circle.remove();
        return false;
      }
      const { x, y } = this.place(dot.part);
      dot.circle.setAttribute('cx', x);
      dot.circle.setAttribute('cy', y + dot.off);
      return true;
    });
  }
}

/** What a node looks like, by what is the matter with it. */
function look(node) {
  if (!node.up) return 'down';
  if (/drained/.test(node.note ?? '')) return 'drained';
  if (node.note) return 'odd';
  return node.role;
}

export class Picture {
  constructor() {
    this.ground = s('g');
    this.dots = s('g', { class: 'dots' });
    this.above = s('g');
    this.element = s('svg', { role: 'img', class: 'picture' }, this.ground, this.dots, this.above);
    this.ways = new Map();
    this.last = null;
    requestAnimationFrame((at) => this.move(at));
  }

  move(at) {
    // After a pause nothing is made up for.
    const seconds = this.last === null ? 0 : Math.min((at - this.last) / 1000, 0.1);
    this.last = at;
    if (!calm.matches && this.element.isConnected) this.ways.forEach((way) => way.step(seconds));
    requestAnimationFrame((next) => this.move(next));
  }

  /** Nothing is known to flow any more. */
  rest() {
    this.ways.forEach((way) => Object.assign(way.rates, { read: 0, other: 0 }));
  }

  show({ clusters, nodes, clients }) {
    const titles = clusters.length * 22 + 4;
    const row = Math.max(ROW, Math.min(ROOMY, (HEIGHT - titles) / Math.max(nodes.length, 1)));
    const height = nodes.length * row + titles;
    this.element.setAttribute('viewBox', `0 0 ${WIDTH} ${height}`);
    const middle = height / 2;
    this.ground.replaceChildren();
    this.above.replaceChildren(
      box(CLIENTS, middle, 'clients', `${short(clients)}`, clients === 1 ? 'client' : 'clients'),
      box(PROXY, middle, 'proxy', 'howdah', `${short(now('reads') === null ? null : now('reads') + now('others'))}/s`));
    const seen = new Set();
    this.lead(seen, 'clients', { x: CLIENTS.x + CLIENTS.width, y: middle }, { x: PROXY.x, y: middle },
      now('reads'), now('others'), '');
    let y = 4;
    const told = [];
    for (const cluster of clusters) {
      this.above.append(s('text', { x: CARD.x, y: y + 12, class: 'title' }, title(cluster)));
      y += 22;
      const own = nodes.filter((node) => node.cluster === cluster.cluster);
      own.sort((a, b) => (b.role === 'primary') - (a.role === 'primary'));
      const places = new Map();
      for (const node of own) {
        const at = { x: CARD.x, y: y + CARD.height / 2 };
        places.set(node, at);
        const from = { x: PROXY.x + PROXY.width, y: middle };
        this.lead(seen, node.node, from, at, now(`reads ${node.node}`), now(`others ${node.node}`), look(node));
        this.above.append(card(node, y));
        told.push(`${node.node} is ${node.up ? node.role : 'down'}${node.note ? `, ${node.note}` : ''}`);
        y += row;
      }
    }
    for (const [name, way] of this.ways) {
      if (seen.has(name)) continue;
      way.empty();
      this.ways.delete(name);
    }
    this.element.setAttribute('aria-label', `Clusters: ${told.join('; ')}`);
  }

  lead(seen, name, from, to, reads, others, kind) {
    seen.add(name);
    if (!this.ways.has(name)) this.ways.set(name, new Way(this.dots));
    const way = this.ways.get(name);
    // Nothing flows to where nobody is, whatever flowed in this second.
    if (kind === 'down') way.empty();
    way.rates = kind === 'down' ? { read: 0, other: 0 } : { read: reads ?? 0, other: others ?? 0 };
    const width = 1.2 + Math.log10(1 + (reads ?? 0) + (others ?? 0));
    this.ground.append(s('path', { d: way.lead(from, to), class: `way ${kind}`, 'stroke-width': width }));
  }
}

function title({ cluster, writable, paused }) {
  if (paused) return `${cluster} – paused`;
  return writable ? cluster : `${cluster} – no primary takes work`;
}

function box({ x, width, height }, middle, kind, first, second) {
  const y = middle - height / 2;
  return s('g', { class: `box ${kind}` },
    s('rect', { x, y, width, height, rx: 10 }),
    s('text', { x: x + width / 2, y: middle - 3, class: 'big middle' }, first),
    s('text', { x: x + width / 2, y: middle + 16, class: 'small middle' }, second));
}

function card(node, y) {
  const { x, width, height } = CARD;
  const kind = look(node);
  const flow = `${short(now(`reads ${node.node}`))} reads/s · ${short(now(`others ${node.node}`))} others/s`;
  const lag = node.role === 'replica' && node.lag !== null ? `lag ${span(node.lag)} (${size(node.lag_bytes)})` : '';
  const state = [node.note, lag, `${node.busy}/${node.open} busy`, node.waiting ? `${node.waiting} wait` : ''];
  return s('g', { class: `node ${kind}` },
    s('rect', { x, y, width, height, rx: 8, class: 'card' }),
    s('rect', { x, y: y + 8, width: 4, height: height - 16, rx: 2, class: 'bar' }),
    s('text', { x: x + 14, y: y + 18, class: 'name' }, node.node),
    s('text', { x: x + width - 10, y: y + 18, class: 'role end' }, node.up ? node.role : 'down'),
    s('text', { x: x + 14, y: y + 34, class: 'small' }, flow),
    s('text', { x: x + 14, y: y + 50, class: 'small' }, state.filter(Boolean).join(' · ')));
}
