/** Blocks of a Markdown text that grows at its end: what is whole is read once, only the last block again. */

import { lexer, type Token } from "marked";

export class GrowingBlocks {
  private whole: readonly Token[] = [];
  private wholeText = "";

  /** Return the blocks of the text. A text that does not go on from the last one is read anew. */
  of(text: string): readonly Token[] {
    if (!text.startsWith(this.wholeText)) {
      this.whole = [];
      this.wholeText = "";
    }
    const read = lexer(text.slice(this.wholeText.length), { gfm: true });
    const last = read.findLastIndex((token) => token.type !== "space");
    if (last > 0) {
      const whole = read.slice(0, last);
      this.whole = this.whole.concat(whole);
      this.wholeText += whole.map((token) => token.raw).join("");
    }
    return this.whole.concat(read.slice(Math.max(0, last)));
  }
}
