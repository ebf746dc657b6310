/** One-time code of a login link, `/console/login#code=…`. */

let taken: string | null = null;

/** Remove the code from the address bar and the history, before anything else reads the address. */
export function hideCode(): void {
  const found = /^#code=([A-Za-z0-9_-]{1,200})$/.exec(location.hash);
  if (!found) return;
  taken = found[1] ?? null;
  history.replaceState(null, "", "/console/");
}

/** Return the code once, or null. */
export function takeCode(): string | null {
  const code = taken;
  taken = null;
  return code;
}
