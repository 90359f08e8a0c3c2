import * as host from 'howdah:policy/metrics@0.1.0';

// Needs grants = ["metrics"].
export const metrics = {
  count: (name, by = 1) => host.count(name, by),
  gauge: (name, value) => host.gauge(name, value),
  observe: (name, value) => host.observe(name, value),
};
