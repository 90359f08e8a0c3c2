// Has every hook, and uses all that the host offers: SELECT 'nodes' is answered with what the interface nodes says.
import * as howdah from 'howdah';
import type { Admission, Client, Failure, Node, Observation, Rewritten, Settings, Statement, Verdict } from 'howdah';

// What the hooks were told.
let seen = '';
let gone = '';
let kept = '';
let observed = 0;
let rows = 0;
let ticks = 0;

export function configure(settings: Settings): void {
  howdah.only(settings, 'greeting');
}

export function session({ user, address }: Client): Admission {
  if (user !== 'alice' || address !== '::1') return { refuse: { sqlstate: '28000', message: 'who?' } };
  return { class: 7, priority: 3, settings: [['application_name', 'everything']] };
}

export function closed(id: number): void {
  gone = String(id);
}

export function rewrite({ sql }: Statement): Rewritten {
  return sql === "SELECT 'rewrite'" ? howdah.changed("SELECT 'rewritten'", 'text') : howdah.unchanged('digest');
}

export function topology(_epoch: number, nodes: Node[]): void {
  seen = names(nodes);
}

export function retry({ sqlstate, node, role, safety, attempt }: Failure, { sql, kind }: Statement) {
  const known = sqlstate === '57P01' && node === 'a' && role === 'replica' && safety === 'read' && attempt === 1;
  return known && sql === 'SELECT 1' && kind === 'read' ? howdah.again('another', 5) : howdah.giveUp();
}

export function observe(batch: Observation[]): void {
  for (const one of batch) {
    if (one.node === 'a' && one.sqlstate === null && one.digest === 7 && one.source === 'policy') {
      observed += 1;
      rows += one.rows;
    }
  }
}

export function tick(): number {
  ticks += 1;
  return 10;
}

export function snapshot(): Uint8Array {
  return new Uint8Array([...bytes(kept), 120]);
}

export function restore(state: Uint8Array): void {
  if (state.length > 2) throw new Error('enough');
  kept = String.fromCharCode(...state);
}

export function route(): Verdict {
  return howdah.answer(['value'], [[String(told())]]).alwaysAsk();
}

const names = (nodes: Node[]) => nodes.map(({ cluster, name, up }) => `${cluster}/${name}/${up}`).join(' ');
const bytes = (text: string) => Uint8Array.from(text, (letter) => letter.charCodeAt(0));

function told(): unknown {
  switch (howdah.literal(0)) {
    case 'setting':
      return howdah.setting('greeting');
    case 'tag':
      return howdah.tag('app');
    case 'who':
      return `${howdah.user()}/${howdah.database()}/${howdah.applicationName()}`;
    case 'relations':
      return howdah.relations().join(' ');
    case 'parameter':
      return howdah.parameter(1);
    case 'log':
      howdah.log.info('told');
      return true;
    case 'metrics':
      howdah.metrics.count('counted');
      howdah.metrics.gauge('gauge', 0.5);
      howdah.metrics.observe('observed', 7);
      return true;
    case 'clock':
      return howdah.clock.monotonicNs() <= howdah.clock.monotonicNs() && howdah.clock.wallMs() > 0;
    case 'random':
      return howdah.random() !== howdah.random();
    case 'nodes':
      return names(howdah.nodes());
    case 'catalog':
      return howdah.functionVolatility('f') === 'immutable' && howdah.functionVolatility('f', 's') === 'immutable';
    case 'kv':
      return shared();
    case 'hooks':
      return `${seen} ${gone} ${observed} ${rows} ${ticks > 0}`;
    case 'state':
      return kept;
    default:
      return '?';
  }
}

/** Whether shared values do as they should. */
function shared(): boolean {
  const { kv } = howdah;
  const fails = (work: () => void, tag: string) => {
    try {
      work();
      return false;
    } catch (error) {
      return (error as { payload: { tag: string } }).payload.tag === tag;
    }
  };
  const sums = [kv.increment('n'), kv.increment('n', 2, 1_000)];
  kv.set('k', bytes('v'));
  const none = kv.compareAndSwap('k', undefined, bytes('w'));
  const swapped = kv.compareAndSwap('k', bytes('v'), bytes('w'));
  const value = kv.get('k');
  const notANumber = fails(() => kv.increment('k'), 'not-a-number');
  kv.delete('k');
  const right = sums[0] === 1 && sums[1] === 3 && !none && swapped && value?.[0] === 119 && notANumber;
  return right && kv.get('k') === undefined && fails(() => kv.set('', bytes('')), 'too-large');
}
