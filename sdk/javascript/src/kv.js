import * as host from 'howdah:policy/kv@0.1.0';

// Needs grants = ["kv"]. Values are Uint8Arrays.
export const kv = {
  get: (key) => host.get(key) ?? undefined,
  set: (key, value, ttlMs) => host.set(key, value, ttlMs),
  delete: (key) => host.delete(key),
  compareAndSwap: (key, expected, value, ttlMs) => host.compareAndSwap(key, expected, value, ttlMs),
  increment: (key, by = 1, ttlMs) => host.increment(key, by, ttlMs),
};
