import * as question from 'howdah:policy/question@0.1.0';

export const tag = (key) => question.tag(key) ?? undefined;
export const user = () => question.user();
export const database = () => question.database();
export const applicationName = () => question.applicationName();
export const literal = (index) => question.literal(index) ?? undefined;
export const relations = () => question.relations();

// A string in text format, a Uint8Array in binary, null for NULL, undefined when there is none to be seen.
export function parameter(number) {
  const value = question.parameter(number);
  return value === null ? undefined : value.tag === 'null' ? null : value.val;
}
