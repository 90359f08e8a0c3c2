// From a policy's functions to what the component exports: one interface per hook.

const statement = (sql, kind, digest, facts, class_) => ({ sql, kind, digest, facts, class: class_ });

// An exception becomes the error of a result.
function told(work) {
  try {
    work();
  } catch (error) {
    throw error instanceof Error ? error.message : String(error);
  }
}

const admission = (given) =>
  given === undefined
    ? { tag: 'no-opinion' }
    : given.refuse
      ? { tag: 'refuse', val: given.refuse }
      : { tag: 'accept', val: { settings: [], priority: 0, class: 0, ...given } };

export const configure = ({ configure }) => ({
  configure: (settings) => told(() => configure(Object.fromEntries(settings.map(([name, value]) => [name, value.val])))),
});

export const session = ({ session, closed = () => {} }) => ({
  open: (client) => admission(session(client)),
  closed,
});

export const route = ({ route }) => ({
  route: (...question) => route(statement(...question)),
});

export const rewrite = ({ rewrite }) => ({
  rewrite: (...question) => rewrite(statement(...question)),
});

export const topology = ({ topology }) => ({ changed: topology });

export const retry = ({ retry }) => ({
  failed: (failure, ...question) => retry(failure, statement(...question)) ?? { tag: 'no-opinion' },
});

export const observe = ({ observe }) => ({ statements: observe });

export const tick = ({ tick }) => ({ tick });

export const state = ({ snapshot, restore }) => ({
  snapshot,
  restore: (bytes) => told(() => restore(bytes)),
});
