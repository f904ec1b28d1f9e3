/** A question to the person at the page, put by something the app wants. */
export interface Question {
  text: string;
  detail: string;
  yes: string;
  no: string;
}

/** Whether the person said yes; one question of a name at a time. */
export type Ask = (name: string, question: Question) => Promise<boolean>;
