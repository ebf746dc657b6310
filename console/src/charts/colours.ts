/** Colours of charts, as the theme has them now: a canvas knows no custom properties. */

export const LINE_COLOURS = 6;
export type Palette = { text: string; quiet: string; line: string; lines: readonly string[] };

export function coloursOf(place: Element): Palette {
  const probe = document.createElement("span");
  place.append(probe);
  const read = (name: string) => {
    probe.style.color = `var(${name})`;
    return getComputedStyle(probe).color;
  };
  const found = {
    text: read("--text"),
    quiet: read("--text-quiet"),
    line: read("--line"),
    lines: Array.from({ length: LINE_COLOURS }, (_, at) => read(`--line-${at + 1}`)),
  };
  probe.remove();
  return found;
}
