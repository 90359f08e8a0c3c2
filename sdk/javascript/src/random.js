import * as host from 'howdah:policy/random@0.1.0';

// Needs grants = ["random"]. 64 bits, as a bigint.
export const random = () => host.next();
