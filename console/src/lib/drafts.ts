/** Forms that are being filled in, kept over a reload of the tab. Never passwords, keys, tokens or values of variables. */

const PREFIX = "headrace-draft:";
const MOST_BYTES = 64 * 1024;

/** Return the draft of a form, or null. */
export function draft<T>(form: string): T | null {
  try {
    const text = sessionStorage.getItem(PREFIX + form);
    return text === null ? null : (JSON.parse(text) as T);
  } catch {
    return null;
  }
}

/** Keep the draft of a form; null forgets it. Drafts over 64 KiB are not kept. */
export function keepDraft(form: string, value: unknown): void {
  try {
    if (value === null) sessionStorage.removeItem(PREFIX + form);
    else {
      const text = JSON.stringify(value);
      if (text.length <= MOST_BYTES) sessionStorage.setItem(PREFIX + form, text);
    }
  } catch {
    // A browser that keeps nothing.
  }
}
