// Reads of the users in the setting `users` go to replicas, everything else to the primary.
//
// The users are looked up once per client, who get class 1. So an answer can be remembered by digest and class.
import { only, primary, replica, texts } from 'howdah';
import type { Admission, Client, Settings, Statement, Verdict } from 'howdah';

const LISTED = 1;

let users: string[] = [];

export function configure(settings: Settings): void {
  only(settings, 'users');
  users = texts(settings, 'users');
}

export function session(client: Client): Admission | undefined {
  return users.includes(client.user) ? { class: LISTED } : undefined;
}

export function route(statement: Statement): Verdict {
  const toReplica = statement.class === LISTED && statement.kind === 'read';
  return (toReplica ? replica() : primary()).byDigestAndClass();
}
