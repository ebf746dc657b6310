/** A message of a chat; under an answer what is known of it. */

import { memo, useState } from "react";
import { Markdown } from "@/chat/markdown";
import { useT } from "@/i18n";
import { duration } from "@/i18n/format";
import type { AnswerFacts, ChatMessage } from "@/lib/chat";
import styles from "@/pages/chat/chat-page.module.css";
import { Button } from "@/ui/button";
import { CopyButton } from "@/ui/copy";
import { Dialog } from "@/ui/dialog";
import { TextField } from "@/ui/field";

/** `onAgain` asks again, with another text if given; null while an answer comes. */
type Props = { message: ChatMessage; onAgain: ((text?: string) => void) | null };

export const Message = memo(
  function Message({ message, onAgain }: Props) {
    return message.role === "user" ? (
      <Question message={message} onAgain={onAgain} />
    ) : (
      <Answer message={message} onAgain={onAgain} />
    );
  },
  (before, after) => before.message === after.message && (before.onAgain === null) === (after.onAgain === null),
);

function Question({ message, onAgain }: Props) {
  const t = useT();
  const [text, setText] = useState<string | null>(null);
  return (
    <>
      <div className={styles.user}>{message.text}</div>
      {onAgain && (
        <div className={styles.facts} style={{ justifyContent: "end", marginTop: -14 }}>
          <Button small kind="quiet" onPress={() => setText(message.text)}>
            {t.chat.edit}
          </Button>
        </div>
      )}
      {text !== null && onAgain && (
        <Dialog
          title={t.chat.edit}
          onClose={() => setText(null)}
          actions={
            <Button
              kind="primary"
              disabled={!text.trim()}
              onPress={() => {
                setText(null);
                onAgain(text);
              }}
            >
              {t.chat.send}
            </Button>
          }
        >
          <TextField label={t.chat.message} value={text} onChange={setText} lines={6} autoFocus maxLength={200_000} />
        </Dialog>
      )}
    </>
  );
}

function Answer({ message, onAgain }: Props) {
  const t = useT();
  const { answer } = message;
  return (
    <div className={styles.assistant}>
      {message.reasoning && (
        <details className={styles.reasoning}>
          <summary>{t.chat.reasoning}</summary>
          {message.reasoning}
        </details>
      )}
      <Markdown text={message.text} />
      {answer?.error && (
        <p className={styles.error} role="alert">
          {answer.error}
        </p>
      )}
      {answer && <Facts answer={answer} text={message.text} onAgain={onAgain} />}
    </div>
  );
}

function Facts({ answer, text, onAgain }: { answer: AnswerFacts; text: string; onAgain: Props["onAgain"] }) {
  const t = useT();
  const { firstTokenMs, totalMs, tokensOut, tokensIn, finishReason, requestId } = answer;
  const rate =
    tokensOut !== null && totalMs !== null && firstTokenMs !== null && totalMs > firstTokenMs
      ? (1000 * tokensOut) / (totalMs - firstTokenMs)
      : null;
  const facts = [
    answer.state === "waiting" && t.chat.waiting,
    answer.state === "stopped" && t.chat.stopped,
    firstTokenMs !== null && t.chat.firstToken(duration(firstTokenMs / 1000)),
    totalMs !== null && t.chat.total(duration(totalMs / 1000)),
    tokensIn !== null && tokensOut !== null && t.chat.tokens(tokensIn, tokensOut),
    rate !== null && `${rate.toFixed(1)} ${t.chat.perSecond}`,
    finishReason,
  ].filter(Boolean);
  return (
    <div className={styles.facts}>
      {facts.map((fact) => (
        <span key={String(fact)}>{fact}</span>
      ))}
      {requestId && <code title={t.error.request}>{requestId}</code>}
      {answer.state !== "waiting" && answer.state !== "streaming" && text && <CopyButton text={text} />}
      {onAgain && (
        <Button small kind="quiet" onPress={() => onAgain()}>
          {t.chat.again}
        </Button>
      )}
    </div>
  );
}
