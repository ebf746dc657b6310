/** Lines of a log: the last 50,000, each with its time, and with control characters made visible. */

/** `replica`: empty in the log of one. */
export type LogLine = { id: number; replica: string; at: string; text: string };

export const MOST_LINES = 50_000;
const TIME = /^(?:([0-9a-f-]{36}) )?(\d{4}-\d{2}-\d{2}T[\d:.]+(?:Z|[+-]\d{2}:\d{2})) (.*)$/s;
// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is taken out
const COLOURS = /\u001b\[[0-9;]*[A-Za-z]/g;
// biome-ignore lint/suspicious/noControlCharactersInRegex: these are made visible
const CONTROL = /[\u0000-\u0008\u000b-\u001f\u007f\u200e\u200f\u202a-\u202e\u2066-\u2069]/g;

/** Lines in order of arrival; the oldest go where there are too many. */
export class LogLines {
  private lines: LogLine[] = [];
  private next = 0;
  /** Lines that went. */
  dropped = 0;

  get all(): readonly LogLine[] {
    return this.lines;
  }

  /** Time of the last line, from which the log can be read on. */
  get last(): string | undefined {
    return this.lines.at(-1)?.at || undefined;
  }

  add(found: readonly string[]): void {
    const added = found.filter((line) => line !== "").map((line) => this.parsed(line));
    const lines = this.lines.concat(added);
    const over = Math.max(0, lines.length - MOST_LINES);
    this.dropped += over;
    this.lines = over ? lines.slice(over) : lines;
  }

  private parsed(line: string): LogLine {
    const [, replica = "", at = "", text = line] = TIME.exec(line) ?? [];
    return { id: this.next++, replica, at, text: visible(text) };
  }
}

/** Return the text without colours, and with other control characters as pictures. */
export function visible(text: string): string {
  return text.replace(COLOURS, "").replace(CONTROL, (found) => {
    const code = found.charCodeAt(0);
    return code < 32 ? String.fromCharCode(0x2400 + code) : code === 127 ? "\u2421" : `\\u${code.toString(16)}`;
  });
}

/** Return the lines that have the text, in any case; all without one. */
export function matching(lines: readonly LogLine[], wanted: string): readonly LogLine[] {
  if (wanted === "") return lines;
  const low = wanted.toLowerCase();
  return lines.filter((line) => line.text.toLowerCase().includes(low));
}
