// Write howdah policies in JavaScript or TypeScript.
//
// A policy is a module that exports a function for each hook that it has: `configure`, `session` (and `closed`),
// `route`, `rewrite`, `topology`, `retry`, `observe`, `tick`, `snapshot` and `restore`.
// Each worker thread of the proxy has an instance of its own and asks it one question at a time.
//
// Numbers of 64 bits are numbers of JavaScript: exact up to 2^53, rounded above, as digests mostly are.

export type Kind = 'empty' | 'read' | 'write' | 'ddl' | 'begin' | 'end' | 'session' | 'utility' | 'unknown';

export interface Facts {
  inTransaction: boolean;
  readOnly: boolean;
  locksRows: boolean;
  volatile: boolean;
  several: boolean;
  extended: boolean;
  copy: boolean;
  sticky: boolean;
  hintPrimary: boolean;
  hintReplica: boolean;
  unbounded: boolean;
}

/** A statement, or a batch of them. */
export interface Statement {
  sql: string;
  kind: Kind;
  /** The same for texts that differ only in literals, white space and comments. */
  digest: number;
  facts: Facts;
  /** What `session` said, else 0. */
  class: number;
}

/** How long an answer may be remembered. `digest`: nothing but kind, facts and digest was looked at. */
export type Remember = 'never' | 'text' | 'text-and-class' | 'digest' | 'digest-and-class';

export type Setting = boolean | number | string | string[];
export type Settings = Record<string, Setting>;
/** Throws when there are other settings than these. */
export function only(settings: Settings, ...known: string[]): void;
/** A list of texts, empty when it is not set. Throws when it is something else. */
export function texts(settings: Settings, name: string): string[];

/** Throwing keeps the previous version of the policy, and tells the operator why. */
export type Configure = (settings: Settings) => void;

export interface Client {
  id: number;
  user: string;
  database: string;
  applicationName: string;
  address: string;
  parameters: [string, string][];
}

/** How a client is let in, or why not; what is not given stays as it is. */
export interface Admission {
  user?: string;
  database?: string;
  cluster?: string;
  poolMode?: 'session' | 'transaction';
  settings?: [string, string][];
  priority?: number;
  maxWaitMs?: number;
  class?: number;
  refuse?: { sqlstate: string; message: string };
}

/** Nothing: no opinion. */
export type Session = (client: Client) => Admission | undefined;

export interface Decision {
  remembered(remember: Remember): Verdict;
  alwaysAsk(): Verdict;
  byText(): Verdict;
  byDigest(): Verdict;
  byDigestAndClass(): Verdict;
}

export interface Verdict {
  decision: Decision;
  remember: Remember;
}

export interface Demands {
  maxLagMs?: number;
  maxLagBytes?: number;
  label?: [string, string];
  otherwise?: 'primary' | 'wait' | 'refuse';
}

export function noOpinion(): Decision;
export function primary(): Decision;
/** Any replica that is up and fulfils the demands, else the primary. */
export function replica(demands?: Demands): Decision;
export function node(name: string): Decision;
export function cluster(name: string): Decision;
export function refuse(sqlstate: string, message: string): Decision;
export function answer(columns: string[], rows: (string | undefined)[][]): Decision;
export function pin(reason: string): Decision;
export type Route = (statement: Statement) => Verdict;

export interface Rewritten {
  outcome: object;
  remember: Remember;
}

export function unchanged(remember: Remember): Rewritten;
export function changed(sql: string, remember: Remember): Rewritten;
export function refuseText(sqlstate: string, message: string, remember: Remember): Rewritten;
export type Rewrite = (statement: Statement) => Rewritten;

export interface Node {
  name: string;
  cluster: string;
  role: 'unknown' | 'primary' | 'replica';
  up: boolean;
  /** Nothing when it is unknown, or on a primary. */
  lagBytes: number | null;
  lagMs: number | null;
  labels: [string, string][];
}

export interface Failure {
  /** Nothing: the server went away. */
  sqlstate: string | null;
  node: string;
  role: Node['role'];
  safety: 'unsent' | 'refused' | 'on-standby' | 'read' | 'in-transaction' | 'commit' | 'unknown';
  outcome: 'unknown' | 'committed' | 'not-committed';
  /** The transaction was recorded whole, and holds nothing that forbids to run it again. */
  replayable: boolean;
  attempt: number;
  elapsedMs: number;
}

export interface RetryDecision {
  tag: string;
}

export function giveUp(): RetryDecision;
export function again(target: 'same' | 'another' | 'primary', delayMs?: number): RetryDecision;
/** Only when the failure is replayable. */
export function replay(): RetryDecision;
/** Nothing: no opinion. */
export type Retry = (failure: Failure, statement: Statement) => RetryDecision | undefined;

export interface Observation {
  session: number;
  class: number;
  kind: Kind;
  digest: number;
  /** Nothing: no server was asked. */
  node: string | null;
  source: 'policy' | 'nobody' | 'failure' | 'learned' | 'bound';
  latencyUs: number;
  waitedUs: number;
  rows: number;
  bytes: number;
  sqlstate: string | null;
}

/** At most 256 of them. */
export type Observe = (batch: Observation[]) => void;
export type Snapshot = () => Uint8Array;
/** Throwing means to begin without it. */
export type Restore = (state: Uint8Array) => void;

export type Topology = (epoch: number, nodes: Node[]) => void;
/** In how many milliseconds to be told again; 0 for never. */
export type Tick = () => number;

/** A key of the statement's comment in sqlcommenter form. */
export function tag(key: string): string | undefined;
/** Who asks. An answer that looks at this is not remembered. */
export function user(): string;
export function database(): string;
export function applicationName(): string;
export function parameter(number: number): string | Uint8Array | null | undefined;
export function literal(index: number): string | undefined;
export function relations(): string[];
export function setting(name: string): Setting | undefined;

export const log: Record<'trace' | 'debug' | 'info' | 'warn' | 'error', (line: string) => void>;
export const metrics: {
  count(name: string, by?: number): void;
  gauge(name: string, value: number): void;
  observe(name: string, value: number): void;
};
/** What cannot be done throws an Error whose payload is `{ tag: 'quota' | 'too-large' | 'not-a-number' | 'other' }`. */
export const kv: {
  get(key: string): Uint8Array | undefined;
  set(key: string, value: Uint8Array, ttlMs?: number): void;
  delete(key: string): void;
  compareAndSwap(key: string, expected: Uint8Array | undefined, value: Uint8Array, ttlMs?: number): boolean;
  increment(key: string, by?: number, ttlMs?: number): number;
};
export const clock: { monotonicNs(): number; wallMs(): number };
export function random(): number;
export function nodes(): Node[];
export function functionVolatility(name: string, schema?: string): 'immutable' | 'stable' | 'volatile' | 'unknown';
