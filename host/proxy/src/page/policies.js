// Which version of a policy decides, what it costs, and how the version on trial differs.

import { now } from './history.js';
import { Grid, badge, h, panel, s, set, short } from './parts.js';
import { quoted } from './proxy.js';

const version = (sha256) => h('code', { title: sha256 }, sha256.slice(0, 12));

/** One policy. Its parts change by themselves, so that a button keeps the focus while figures grow. */
class Card {
  constructor(name) {
    this.parts = ['h3', 'dl', 'div', 'div', 'div'].map((kind) => h(kind));
    this.element = h('article', { class: 'policy', 'data-policy': name }, this.parts);
  }

  show(policy, operator) {
    const contents = [heading(policy), facts(policy), refusal(policy), policy.trial ? trial(policy) : past(policy), orders(policy, operator)];
    this.parts.forEach((part, at) => set(part, contents[at]));
  }
}

export class Policies {
  id = 'policies';
  title = 'Policies';
  tables = ['disagreements'];
  cards = new Map();

  constructor(operator) {
    this.operator = operator;
    this.place = h('div', { class: 'cards' });
    this.grid = new Grid('Disagreements', [
      { name: 'policy', cell: (row) => row.policy, kind: 'name' },
      { name: 'hook', cell: (row) => row.hook },
      { name: 'digest', cell: (row) => h('code', {}, row.digest) },
      { name: 'in force', cell: (row) => row.live, kind: 'text' },
      { name: 'on trial', cell: (row) => row.candidate, kind: 'text' },
    ], { nothing: 'Nothing on trial has said otherwise than the version in force.', key: (row) => row.place });
    this.element = h('div', {}, panel('Policies', this.place), panel('Disagreements', this.grid.element));
  }

  show({ policies, disagreements }) {
    const names = policies.map(({ policy }) => policy);
    for (const policy of policies) {
      if (!this.cards.has(policy.policy)) this.cards.set(policy.policy, new Card(policy.policy));
      this.cards.get(policy.policy).show(policy, this.operator);
    }
    const elements = names.map((name) => this.cards.get(name).element);
    if (elements.some((element, at) => this.place.children[at] !== element) || this.place.childElementCount !== names.length) {
      this.place.replaceChildren(...elements);
    }
    this.grid.show(disagreements.map((row, place) => ({ ...row, place })));
  }
}

const heading = ({ policy, quarantined }) =>
  h('span', {}, policy, ' ', quarantined ? badge('quarantined', 'bad') : badge('in force', 'good'));

function facts(policy) {
  const fact = (term, value) => h('div', {}, h('dt', {}, term), h('dd', {}, value));
  const { policy: name, failures, us_per_call: cost } = policy;
  return h('div', { class: 'facts' },
    fact('version', version(policy.sha256)),
    fact('from', policy.origin),
    fact('calls', `${short(policy.calls)} (${short(now(`calls ${name}`))}/s)`),
    fact('per call', cost === null ? '–' : `${cost.toFixed(1)} µs`),
    fact('from memory', short(policy.remembered)),
    fact('failures', failures ? badge(`${failures}: ${policy.last_failure ?? ''}`, 'bad') : '0'),
    fact('hooks', policy.hooks));
}

const refusal = ({ refused }) =>
  refused ? h('p', { class: 'wrong' }, `The version that was offered last is not in force: ${refused}`) : '';

function trial(policy) {
  const { trial: kind, agreed, disagreed, skipped } = policy;
  const share = kind === 'canary' ? `${Math.round(policy.trial_share * 100)} % of sessions obey it` : 'nobody obeys it';
  return h('section', { class: 'trial' },
    h('h4', {}, badge(kind, 'odd'), ' ', version(policy.trial_sha256), h('small', {}, ` ${share}`)),
    comparison(agreed, disagreed),
    h('p', {}, h('b', {}, short(agreed)), ' alike, ', h('b', { class: disagreed ? 'differs' : '' }, short(disagreed)), ' otherwise, ',
      `${short(skipped)} left out, ${short(policy.trial_failures)} failures in ${short(policy.trial_calls)} calls`));
}

function past({ previous, rolled_back: back }) {
  const told = [previous ? h('p', {}, 'before: ', version(previous)) : '', back ? h('p', {}, 'rolled back: ', version(back)) : ''];
  return previous || back ? h('div', {}, told) : h('p', { class: 'quiet' }, 'No other version is on trial, or was in force before.');
}

function orders(policy, operator) {
  const { policy: name, trial: kind, sha256, trial_sha256: tried, previous, rolled_back: back } = policy;
  const short = (version) => version.slice(0, 12);
  const order = (label, verb, question, consequence) =>
    operator.button(label, { question, consequence, order: `POLICY ${quoted(name)} ${verb}` });
  if (kind) {
    return operator.group([
      order('Roll back', 'ROLLBACK', `Take the version of ${name} on trial back?`,
        `${short(tried)} is not asked any more; ${short(sha256)} stays in force.`),
      order('Promote', 'PROMOTE', `Put the version of ${name} on trial in force?`,
        `${short(tried)} decides for all sessions, instead of ${short(sha256)}.`),
    ]);
  }
  return operator.group([
    previous ? order('Roll back', 'ROLLBACK', `Put the version of ${name} before in force?`,
      `${short(previous)} decides again, instead of ${short(sha256)}.`) : '',
    back ? order('Release', 'RELEASE', `Let the version of ${name} in again that was rolled back?`,
      `${short(back)} comes in when it is found the next time.`) : '',
  ]);
}

/** How much of what both were asked they answered alike. */
function comparison(agreed, disagreed) {
  const all = agreed + disagreed;
  const alike = all > 0 ? (100 * agreed) / all : 0;
  const label = all > 0 ? `${alike.toFixed(1)} % alike` : 'nothing was compared yet';
  return s('svg', { viewBox: '0 0 100 6', class: 'comparison', preserveAspectRatio: 'none', role: 'img', 'aria-label': label },
    s('rect', { width: 100, height: 6, class: 'rest' }),
    s('rect', { width: alike, height: 6, class: 'alike' }),
    s('rect', { x: alike, width: all > 0 ? 100 - alike : 0, height: 6, class: 'otherwise' }));
}
