import * as host from 'howdah:policy/log@0.1.0';

export const log = {
  trace: (line) => host.write('trace', line),
  debug: (line) => host.write('debug', line),
  info: (line) => host.write('info', line),
  warn: (line) => host.write('warn', line),
  error: (line) => host.write('error', line),
};
