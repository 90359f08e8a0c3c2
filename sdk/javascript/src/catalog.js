import * as host from 'howdah:policy/catalog@0.1.0';

// Needs grants = ["catalog"].
export const functionVolatility = (name, schema) => host.function(schema, name);
