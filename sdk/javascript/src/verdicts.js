// Where a statement goes, and how long that may be remembered.
class Decision {
  constructor(tag, val) {
    this.tag = tag;
    this.val = val;
  }

  remembered(remember) {
    return { decision: this, remember };
  }

  alwaysAsk() {
    return this.remembered('never');
  }

  byText() {
    return this.remembered('text');
  }

  byDigest() {
    return this.remembered('digest');
  }

  byDigestAndClass() {
    return this.remembered('digest-and-class');
  }
}

export const noOpinion = () => new Decision('no-opinion');
export const primary = () => new Decision('primary');
export const node = (name) => new Decision('node', name);
export const cluster = (name) => new Decision('cluster', name);
export const refuse = (sqlstate, message) => new Decision('refuse', { sqlstate, message });
export const answer = (columns, rows) => new Decision('answer', { columns, rows });
export const pin = (reason) => new Decision('pin', reason);

export const replica = (demands = {}) =>
  new Decision('replica', {
    maxLagMs: demands.maxLagMs,
    maxLagBytes: demands.maxLagBytes,
    label: demands.label,
    otherwise: demands.otherwise ?? 'primary',
  });

export const giveUp = () => ({ tag: 'give-up' });
export const again = (target, delayMs = 0) => ({ tag: 'again', val: { target, delayMs } });
export const replay = () => ({ tag: 'replay' });

export const unchanged = (remember) => ({ outcome: { tag: 'unchanged' }, remember });
export const changed = (sql, remember) => ({ outcome: { tag: 'text', val: sql }, remember });
export const refuseText = (sqlstate, message, remember) => ({
  outcome: { tag: 'refuse', val: { sqlstate, message } },
  remember,
});
