/** Text of an answer as React nodes: Markdown is read by marked's lexer, HTML is never made. */

import type { Token, Tokens } from "marked";
import { memo, type ReactNode, useState } from "react";
import { GrowingBlocks } from "@/lib/growing-blocks";
import { visible } from "@/lib/log-lines";
import { CopyButton } from "@/ui/copy";
import styles from "./markdown.module.css";

/** An answer. Blocks that are whole are rendered once; only the last one is read again while it grows. */
export function Markdown({ text }: { text: string }) {
  const [growing] = useState(() => new GrowingBlocks());
  const blocks = growing.of(text);
  return (
    <div className={styles.text}>
      {blocks.map((token, index) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: blocks are only added at the end
        <Block key={index} raw={token.raw} token={token} />
      ))}
    </div>
  );
}

const Block = memo(
  function Block({ token }: { raw: string; token: Token }) {
    return block(token);
  },
  (before, after) => before.raw === after.raw,
);

function block(token: Token): ReactNode {
  switch (token.type) {
    case "space":
      return null;
    case "heading":
      return <p className={styles.heading}>{inline((token as Tokens.Heading).tokens)}</p>;
    case "paragraph":
      return <p>{inline((token as Tokens.Paragraph).tokens)}</p>;
    case "code":
      return <Code token={token as Tokens.Code} />;
    case "blockquote":
      return <blockquote>{blocks((token as Tokens.Blockquote).tokens)}</blockquote>;
    case "list":
      return <List token={token as Tokens.List} />;
    case "table":
      return <MarkdownTable token={token as Tokens.Table} />;
    case "hr":
      return <hr />;
    case "text":
      return "tokens" in token && token.tokens ? <p>{inline(token.tokens)}</p> : <p>{visible(token.raw)}</p>;
    default:
      return <p className={styles.raw}>{visible(token.raw)}</p>;
  }
}

function inline(tokens: readonly Token[]): ReactNode[] {
  return tokens.map((token, index) => {
    const key = `${index}`;
    switch (token.type) {
      case "strong":
        return <strong key={key}>{inline((token as Tokens.Strong).tokens)}</strong>;
      case "em":
        return <em key={key}>{inline((token as Tokens.Em).tokens)}</em>;
      case "del":
        return <del key={key}>{inline((token as Tokens.Del).tokens)}</del>;
      case "codespan":
        return <code key={key}>{visible((token as Tokens.Codespan).text)}</code>;
      case "br":
        return <br key={key} />;
      case "link":
        return <Anchor key={key} href={(token as Tokens.Link).href} text={inline((token as Tokens.Link).tokens)} />;
      case "image": // shown as a link: the page asks no other origin for anything
        return (
          <Anchor
            key={key}
            href={(token as Tokens.Image).href}
            text={visible((token as Tokens.Image).text || (token as Tokens.Image).href)}
          />
        );
      case "text":
        return "tokens" in token && token.tokens ? inline(token.tokens) : visible((token as Tokens.Text).text);
      case "escape":
        return visible((token as Tokens.Escape).text);
      default:
        return visible(token.raw);
    }
  });
}

function blocks(tokens: readonly Token[]): ReactNode[] {
  // biome-ignore lint/suspicious/noArrayIndexKey: the block above is rendered whole
  return tokens.map((token, index) => <Block key={index} raw={token.raw} token={token} />);
}

/** A link to the web, as a link; everything else as its text. */
function Anchor({ href, text }: { href: string; text: ReactNode }) {
  if (!/^https?:\/\//i.test(href)) return <>{text}</>;
  return (
    <a href={href} target="_blank" rel="noopener noreferrer" title={href}>
      {text}
    </a>
  );
}

function Code({ token }: { token: Tokens.Code }) {
  return (
    <div className={styles.code}>
      <div className={styles.codeHead}>
        <span>{token.lang}</span>
        <CopyButton text={token.text} />
      </div>
      <pre>{visible(token.text)}</pre>
    </div>
  );
}

function List({ token }: { token: Tokens.List }) {
  const items = token.items.map((item, index) => (
    // biome-ignore lint/suspicious/noArrayIndexKey: the list is rendered whole
    <li key={index}>
      {item.tokens.map((one) =>
        one.type === "text" && "tokens" in one && one.tokens ? inline(one.tokens) : block(one),
      )}
    </li>
  ));
  return token.ordered ? <ol start={Number(token.start) || 1}>{items}</ol> : <ul>{items}</ul>;
}

function MarkdownTable({ token }: { token: Tokens.Table }) {
  return (
    <div className={styles.table}>
      <table>
        <thead>
          <tr>
            {token.header.map((cell, index) => (
              // biome-ignore lint/suspicious/noArrayIndexKey: the table is rendered whole
              <th key={index}>{inline(cell.tokens)}</th>
            ))}
          </tr>
        </thead>
        <tbody>
          {token.rows.map((row, line) => (
            // biome-ignore lint/suspicious/noArrayIndexKey: as above
            <tr key={line}>
              {row.map((cell, index) => (
                // biome-ignore lint/suspicious/noArrayIndexKey: as above
                <td key={index}>{inline(cell.tokens)}</td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
