import * as host from 'howdah:policy/random@0.1.0';

// Needs grants = ["random"]. 64 bits, rounded to the 53 that a number has.
export const random = () => host.next();
