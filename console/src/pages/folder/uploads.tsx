/** Uploads into a folder: files are chosen or dropped; progress, pause, what failed and why. */

import { type ChangeEvent, useEffect, useRef, useState, useSyncExternalStore } from "react";
import { useT } from "@/i18n";
import { disk } from "@/i18n/format";
import { type UploadFile, UploadQueue } from "@/lib/upload-queue";
import { Button, buttonClass } from "@/ui/button";
import { Card } from "@/ui/card";
import { chosenFiles, withoutCommonDirectory } from "@/upload/dropped";
import styles from "./folder-page.module.css";

const FAILED_SHOWN = 20;

type UploadsOf = { queue: UploadQueue; add: (files: readonly UploadFile[]) => void };

/** Return the queue of a folder; `onDone` is called when it has sent all. */
export function useUploads(folder: string, onDone: () => void): UploadsOf {
  const [queue] = useState(
    () =>
      new UploadQueue(async (...sending) => {
        senders.current ??= import("@/upload/send").then(({ senderInto }) => senderInto(folder));
        return (await senders.current)(...sending);
      }),
  );
  const senders = useRef<Promise<Awaited<ReturnType<typeof import("@/upload/send")["senderInto"]>>> | null>(null);
  const items = useSyncExternalStore(queue.onChange, queue.items);
  const ended = items.length > 0 && items.every((item) => item.state === "done" || item.state === "failed");
  // biome-ignore lint/correctness/useExhaustiveDependencies: when it has ended
  useEffect(() => {
    if (ended) onDone();
  }, [ended]);
  const sending = items.length > 0 && !ended;
  useEffect(() => {
    if (!sending) return;
    const ask = (event: BeforeUnloadEvent) => event.preventDefault();
    addEventListener("beforeunload", ask);
    return () => removeEventListener("beforeunload", ask);
  }, [sending]);
  return { queue, add: (files) => void queue.add(files) };
}

export function Uploads({ uploads: { queue } }: { uploads: UploadsOf }) {
  const t = useT();
  const items = useSyncExternalStore(queue.onChange, queue.items);
  if (items.length === 0) return null;
  const total = items.reduce((sum, item) => sum + item.size, 0);
  const sent = items.reduce((sum, item) => sum + item.sent, 0);
  const done = items.filter((item) => item.state === "done").length;
  const failed = items.filter((item) => item.state === "failed");
  const paused = items.some((item) => item.state === "paused");
  const sending = items.find((item) => item.state === "sending");
  return (
    <Card>
      <div className={styles.queue}>
        <div className={styles.row}>
          <span role="status">
            {t.folders.sent(done, items.length)} · {disk(sent)} / {disk(total)}
            {sending && ` · ${sending.path}`}
          </span>
          {sending && (
            <Button small onPress={() => queue.pause()}>
              {t.folders.pause}
            </Button>
          )}
          {(paused || failed.length > 0) && !sending && (
            <Button small onPress={() => queue.resume()}>
              {t.folders.resume}
            </Button>
          )}
        </div>
        <div
          className={styles.bar}
          role="progressbar"
          aria-valuenow={total ? Math.floor((100 * sent) / total) : 100}
          aria-label={t.folders.upload}
        >
          <div style={{ width: `${total ? (100 * sent) / total : 100}%` }} />
        </div>
        {failed.slice(0, FAILED_SHOWN).map((item) => (
          <p key={item.path} className={styles.failed}>
            {item.path}: {item.error}
          </p>
        ))}
      </div>
    </Card>
  );
}

/** Buttons to choose files, or a directory with all below it. */
export function ChooseButtons({ onFiles }: { onFiles: (files: readonly UploadFile[]) => void }) {
  const t = useT();
  const chosen = (event: ChangeEvent<HTMLInputElement>) => {
    const files = chosenFiles(event.target.files as FileList);
    onFiles(withoutCommonDirectory(files));
    event.target.value = "";
  };
  return (
    <span className={styles.buttons}>
      <label className={`${buttonClass("plain", true)} ${styles.choose}`}>
        <input className={styles.hidden} type="file" multiple onChange={chosen} />
        {t.folders.chooseFiles}
      </label>
      <label className={`${buttonClass("plain", true)} ${styles.choose}`}>
        <input className={styles.hidden} type="file" webkitdirectory="" onChange={chosen} />
        {t.folders.chooseDirectory}
      </label>
    </span>
  );
}
