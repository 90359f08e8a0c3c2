// Settings, as `configure` is given them.

export function only(settings, ...known) {
  for (const name of Object.keys(settings)) {
    if (!known.includes(name)) throw new Error(`unknown setting ${name}; the settings are ${known.join(', ')}`);
  }
}

export function texts(settings, name) {
  const value = settings[name] ?? [];
  if (!Array.isArray(value)) throw new Error(`${name} must be a list of texts`);
  return value;
}
