import * as host from 'howdah:policy/kv@0.1.0';

const ttl = (ms) => (ms === undefined ? undefined : BigInt(ms));

// Needs grants = ["kv"]. Values are Uint8Arrays.
export const kv = {
  get: (key) => host.get(key),
  set: (key, value, ttlMs) => host.set(key, value, ttl(ttlMs)),
  delete: (key) => host.delete(key),
  compareAndSwap: (key, expected, value, ttlMs) => host.compareAndSwap(key, expected, value, ttl(ttlMs)),
  increment: (key, by = 1, ttlMs) => host.increment(key, BigInt(by), ttl(ttlMs)),
};
