import type { AccountId } from './ids';

/** The one local user. */
export interface Account {
  id: AccountId;
  email: string;
  createdAt: Date;
}

/** Whoever did something: a user, or e.g. an add-on provider acting on an app. */
export interface Actor {
  id: AccountId;
  email: string;
}
