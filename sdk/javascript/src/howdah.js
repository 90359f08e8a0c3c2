// Write howdah policies in JavaScript or TypeScript: howdah.d.ts describes all of it.
// A module per interface of the host, so that a policy imports only what it uses.

export { applicationName, database, literal, parameter, relations, tag, user } from './question.js';
export { setting } from './settings.js';
export { log } from './log.js';
export { metrics } from './metrics.js';
export { kv } from './kv.js';
export { clock } from './clock.js';
export { random } from './random.js';
export { nodes } from './nodes.js';
export { functionVolatility } from './catalog.js';
export {
  again, answer, changed, cluster, giveUp, node, noOpinion, pin, primary, refuse, refuseText, replay, replica,
  unchanged,
} from './verdicts.js';
export { only, texts } from './given.js';
