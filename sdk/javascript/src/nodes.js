import * as host from 'howdah:policy/nodes@0.1.0';

// Needs grants = ["nodes"].
export const nodes = () => host.all();
