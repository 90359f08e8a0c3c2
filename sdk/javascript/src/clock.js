import * as host from 'howdah:policy/clock@0.1.0';

// Needs grants = ["clock"].
export const clock = {
  monotonicNs: () => host.monotonicNs(),
  wallMs: () => host.wallMs(),
};
